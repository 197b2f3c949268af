"""Requests as spans, where traces are on."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:  # else an API that does not trace would import OpenTelemetry
    from tokenkeep.adapters.tracing.traces import Traces

# What watches over us asks every few seconds.
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})


class TracedRequests:
    """ASGI middleware, behind the one that knows who asks.

    W3C `traceparent` is taken from callers with a valid key. Others begin a trace of their own: nobody else may say what is kept.
    """

    def __init__(self, app: ASGIApp, *, traces: "Traces") -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        correlation_id: str = scope["state"]["correlation_id"]
        with self._traces.request(scope["method"], correlation_id, _traceparent(scope)) as ended:
            try:
                await self._app(scope, receive, sent)
            finally:
                ended(getattr(scope.get("route"), "path", None), status)


def _traceparent(scope: Scope) -> str | None:
    if scope["state"].get("caller") is None:
        return None
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    return given[0].decode("latin-1") if len(given) == 1 else None
