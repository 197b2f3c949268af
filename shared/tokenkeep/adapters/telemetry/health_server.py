"""Health, readiness and metrics over HTTP: routes for any app, and a small server for processes that have none."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.domain.errors import SettingsError

ReadinessCheck = Callable[[], Awaitable[object]]
"""Returns when its dependency answers, raises when it does not."""

READINESS_DEADLINE_S: Final = 2.0
PORTS_TRIED: Final = 64

_HIGHEST_PORT: Final = 65_535
_BACKLOG: Final = 128
_DRAIN_S: Final = 5
_NO_STORE: Final = {"Cache-Control": "no-store"}

_log = structlog.get_logger(__name__)


def operations_routes(
    metrics: Metrics,
    checks: Mapping[str, ReadinessCheck],
    *,
    leaving: asyncio.Event | None = None,
    deadline: float = READINESS_DEADLINE_S,
) -> list[Route]:
    """`GET /healthz`, `/readyz` and `/metrics`.

    Args:
        metrics: What `/metrics` shows.
        checks: What must answer for `/readyz` to say 200, by the name under which a 503 reports it as down.
        leaving: Once it is set, `/readyz` says 503: the process is to end, and wants nothing new.
        deadline: Seconds for all checks together.
    """

    async def healthz(_request: Request) -> Response:
        # The answer is the proof: it takes an event loop that turns.
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(_request: Request) -> Response:
        if leaving is not None and leaving.is_set():
            return JSONResponse({"status": "leaving"}, status_code=503, headers=_NO_STORE)
        down = await failing_checks(checks, deadline=deadline)
        if down:
            return JSONResponse({"status": "unavailable", "down": down}, status_code=503, headers=_NO_STORE)
        return JSONResponse({"status": "ready"}, headers=_NO_STORE)

    async def show_metrics(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        # As a header, since Starlette would add a charset to a media type.
        return Response(body, headers={"Content-Type": content_type, **_NO_STORE})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)]


async def failing_checks(checks: Mapping[str, ReadinessCheck], *, deadline: float) -> list[str]:
    """The names of the checks that failed or did not end within the deadline (seconds), in order.

    A check that ignores its cancellation is not waited for.
    """
    tasks = {name: asyncio.create_task(_run(check)) for name, check in checks.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=deadline)
        problems = {name: _problem(task) for name, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()
    for name, problem in problems.items():
        if problem is not None:
            # The kind only: an error's text may hold a connection URL.
            _log.warning("readiness_check_failed", check=name, problem=problem)
    return [name for name, problem in problems.items() if problem is not None]


class HealthServer:
    """Serves the three routes from the running event loop, for workers and schedulers.

    It takes `port`, or the next free one up, so that several processes share a machine. It handles no signals: who
    started it stops it.
    """

    def __init__(
        self,
        metrics: Metrics,
        checks: Mapping[str, ReadinessCheck],
        *,
        port: int,
        host: str = "0.0.0.0",  # noqa: S104 - scraped from outside; it shows no secret and takes no input
        leaving: asyncio.Event | None = None,
    ) -> None:
        self._host = host
        self._port = port
        app = Starlette(routes=operations_routes(metrics, checks, leaving=leaving))
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and serve; the port that was bound.

        Raises:
            SettingsError: No port could be bound.
        """
        if self._serving is not None:
            msg = "the health server was started before"
            raise RuntimeError(msg)
        listener = bind_next_free(self._host, self._port)
        port: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait((self._serving, up), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._serving.done():
            listener.close()
            await self._serving
        return port

    async def stop(self) -> None:
        """Finish the requests under way, for up to 5 s, and free the port. Does nothing if it was not started."""
        if self._serving is None:
            return
        self._server.should_exit = True
        await self._serving


class _QuietServer(uvicorn.Server):
    """A uvicorn server inside a process that has its own signal handlers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def bind_next_free(host: str, port: int) -> socket.socket:
    """A listening socket on the port, or on the first free one of the 63 above it. Port 0 lets the system choose.

    Raises:
        SettingsError: All of them are taken, or the address can't be bound.
    """
    last = min(port + PORTS_TRIED - 1, _HIGHEST_PORT)
    for candidate in _candidates(port, last):
        try:
            return _listening(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                msg = f"TOKENKEEP_METRICS_PORT: can't listen on {host}:{candidate}: {error.strerror}"
                raise SettingsError(msg) from None
    msg = f"TOKENKEEP_METRICS_PORT: no free port from {port} to {last}"
    raise SettingsError(msg)


def _candidates(port: int, last: int) -> Sequence[int]:
    return (0,) if port == 0 else range(port, last + 1)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # With SO_REUSEADDR two sockets may bind one port; only one of them may listen.
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def _run(check: ReadinessCheck) -> None:
    await check()


def _problem(task: asyncio.Task[None]) -> str | None:
    if not task.done():
        task.add_done_callback(_acknowledge)
        return "deadline"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return None if error is None else type(error).__name__


def _acknowledge(late: asyncio.Task[None]) -> None:
    """Ask for a late check's error, or the loop complains, with its text, that nobody did."""
    if not late.cancelled():
        late.exception()
