"""What surrounds every request: its id, its line in the log, the headers of every answer, and the last net."""

import re
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from tokenkeep.domain.ids import new_correlation_id
from tokenkeep_api.api_paths import is_api
from tokenkeep_api.problems import Problem, is_passing, temporarily_unavailable
from tokenkeep_api.rate_limits import ANSWER_HEADERS
from tokenkeep_api.stack import where

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# They are POSTs, but change nothing.
_READING_ROUTES = frozenset({"/v1/accounts/{account_id}/token"})
# Who is turned away at the door changes nothing, and may come very often.
_TURNED_AWAY = frozenset({401, 429})
_A_YEAR_S = 31_536_000
_OURS_ALONE = frozenset({b"x-request-id", b"cache-control"})
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

Served = Callable[[str, str | None, int | None], None]
"""Told of each request when it has ended: its method, its route's path as it is declared, and its answer's status, where there are such."""

_log = structlog.get_logger("tokenkeep.api")


class Envelope:
    """ASGI middleware, the outermost.

    `X-Request-Id` (up to 128 visible ASCII characters) is taken, or made; it is on every log line of the request and in
    the answer, and goes along as the correlation id. One INFO line is written for a request that may change something;
    reads have theirs at DEBUG. No line holds a body, a query string or a header.
    """

    def __init__(self, app: ASGIApp, *, served: Served, https: bool = False) -> None:
        """`served` counts each request. `https`: the API's users reach it over TLS, and browsers are told to keep to that."""
        self._app = app
        self._served = served
        # Bound here, once: that is the greater part of a line that is not written.
        self._log = _log.bind()
        self._fixed = fixed_headers(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = correlation_id_of(scope)
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id
        answer = _Answer(send, state, self._fixed, no_store=is_api(scope["path"]))
        started = perf_counter()
        bound = bind_contextvars(correlation_id=correlation_id)
        try:
            await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the last net: the caller gets an answer, the log a line
            await _answer_failure(error, answer, scope, receive)
        finally:
            route = getattr(scope.get("route"), "path", None)
            self._served(scope["method"], route, answer.status)
            _log_request(self._log, scope, route, answer.status, perf_counter() - started)
            reset_contextvars(**bound)


def fixed_headers(*, https: bool) -> Mapping[bytes, bytes]:
    """What every answer bears, by names in lower case. `https`: as `Envelope` has it."""
    fixed = dict(SECURITY_HEADERS)
    if https:
        fixed["Strict-Transport-Security"] = f"max-age={_A_YEAR_S}"
    return {name.lower().encode(): value.encode() for name, value in fixed.items()}


class _Answer:
    """`send`, with the headers of every answer put in."""

    __slots__ = ("_fixed", "_no_store", "_send", "_state", "status")

    def __init__(self, send: Send, state: Mapping[str, Any], fixed: Mapping[bytes, bytes], *, no_store: bool) -> None:
        self._send = send
        self._state = state
        self._fixed = fixed
        self._no_store = no_store
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._surround(message["headers"])}
        await self._send(message)

    def _surround(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = {**self._fixed, b"x-request-id": self._state["correlation_id"].encode()}
        if self._no_store:
            ours[b"cache-control"] = b"no-store"
        headers = []
        for name, value in given:
            if name in self._fixed:
                ours.pop(name, None)  # a page has a policy of its own
            if name not in _OURS_ALONE or (name == b"cache-control" and not self._no_store):
                headers.append((name, value))
        headers.extend(self._state.get(ANSWER_HEADERS, ()))
        headers.extend(ours.items())
        return headers


async def _answer_failure(error: Exception, answer: _Answer, scope: Scope, receive: Receive) -> None:
    if is_passing(error):
        _log.warning("database_unavailable", error=type(error).__name__, where=where(error))
        problem = temporarily_unavailable()
    else:
        _log.error("request_failed", error=type(error).__name__, where=where(error))
        problem = Problem(
            500,
            "internal_error",
            "something went wrong here; the correlation id finds it in the log",
            correlation_id=scope["state"]["correlation_id"],
        )
    if answer.status is None:
        await problem.response()(scope, receive, answer)


def _log_request(log: Any, scope: Scope, route: str | None, status: int | None, seconds: float) -> None:
    reading = scope["method"] in _READING_METHODS or route in _READING_ROUTES or status in _TURNED_AWAY
    caller = scope["state"].get("caller")
    (log.debug if reading else log.info)(
        "request_served",
        method=scope["method"],
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        caller=None if caller is None else caller.name,
    )


def correlation_id_of(scope: Scope) -> str:
    """What a request is called, by itself or by us."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        text: str = given[0].decode("ascii")
        return text
    return new_correlation_id()
