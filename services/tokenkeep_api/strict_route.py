"""Routes that refuse what they do not know: parameters by name, bodies that are not strictly JSON."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from tokenkeep.domain.errors import InvalidInput
from tokenkeep_api.request_bodies import parse_json

_LONGEST_NAME = 64


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A FastAPI route whose query holds nothing unknown and whose body is read by `parse_json`.

    A misspelt parameter that is passed over does what nobody asked for. A route whose parameters are one model leaves it to
    that model what else it takes.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI makes, given a stricter request."""
        handle = super().get_route_handler()
        known = self._known_parameters()

        async def strictly(request: Request) -> Response:
            if known is not None and request.scope["query_string"]:
                refuse_unknown(request, known)
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly

    def _known_parameters(self) -> frozenset[str] | None:
        parameters = _parameters(self.dependant)
        if any(isinstance(kind, type) and issubclass(kind, BaseModel) for _, kind in parameters):
            return None
        return frozenset(name for name, _ in parameters)


def _parameters(dependant: Dependant) -> list[tuple[str, object]]:
    """Those of the query, name and type, with what the dependencies want."""
    own = [(field.alias, field.field_info.annotation) for field in dependant.query_params]
    return [*own, *(pair for inner in dependant.dependencies for pair in _parameters(inner))]


def refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raise `InvalidInput` for the first parameter of the query that is none of these."""
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(name[:_LONGEST_NAME], "there is no such parameter")
