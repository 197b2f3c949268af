"""The short way of the one route that is asked at every request of a customer's service.

It has every middleware of ours, with the same limits, keys and trail as all other routes; what it leaves out is FastAPI's
search for the route and what Starlette keeps around each handler. What is refused is told by the same handlers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenkeep_api.named_route import NamedRoute

_PARAMETER = re.compile(r"\{(\w+)\}")


def pattern_of(path: str) -> re.Pattern[str]:
    """What a route's path, as it is declared, is matched by. Its parameters take one step each."""
    return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", path))


class ShortWay:
    """ASGI: requests that one route serves go to it, all others to the application."""

    def __init__(self, app: ASGIApp, route: NamedRoute, middleware: Sequence[Middleware], refuse: "Refusing") -> None:
        """`middleware`: outermost first. The path of `route`, a POST, takes parameters of one step each."""
        self._app = app
        self._route = route
        self._path = pattern_of(route.path)
        short: ASGIApp = _Answering(route.endpoint, refuse)
        for cls, args, kwargs in reversed(middleware):
            short = cls(short, *args, **kwargs)
        self._short = short

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            found = self._path.fullmatch(scope["path"])
            if found is not None:
                scope["route"] = self._route
                scope["path_params"] = found.groupdict()
                await self._short(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Refusing:
    """Answers for an exception by the handlers that an application has for it, or raises it."""

    def __init__(self, handlers: Mapping[Any, Callable[..., Any]]) -> None:
        self._app = ExceptionMiddleware(_raise, handlers=handlers)

    async def __call__(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._app({**scope, _ERROR: error}, receive, send)


class _Answering:
    """A route's endpoint, and what answers where it raises."""

    def __init__(self, endpoint: ASGIApp, refuse: Refusing) -> None:
        self._endpoint = endpoint
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._endpoint(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the handlers know those that are foreseen, and raise the others again
            await self._refuse(error, scope, receive, send)


_ERROR = "tokenkeep.error"


async def _raise(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise scope[_ERROR]
