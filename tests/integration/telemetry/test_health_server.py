import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog

from tokenkeep.adapters.telemetry.health_server import (
    PORTS_TRIED,
    HealthServer,
    ReadinessCheck,
    bind_next_free,
    failing_checks,
)
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.domain.errors import SettingsError

LOOPBACK = "127.0.0.1"


async def fine() -> None:
    return


async def broken() -> None:
    msg = "could not connect to postgresql://tokenkeep:canary@db/tokenkeep"
    raise ConnectionError(msg)


async def hanging() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(
    checks: Mapping[str, ReadinessCheck], metrics: Metrics | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    server = HealthServer(metrics or Metrics(), checks, port=0, host=LOOPBACK)
    port = await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as client:
            yield client
    finally:
        await server.stop()


def test_a_port_that_is_taken_is_passed_over() -> None:
    with bind_next_free(LOOPBACK, 0) as first:
        taken = first.getsockname()[1]
        with bind_next_free(LOOPBACK, taken) as second:
            assert taken < second.getsockname()[1] < taken + PORTS_TRIED


def test_when_no_port_is_free_the_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_METRICS_PORT: no free port from 65536 to 65535"):
        bind_next_free(LOOPBACK, 65_536)


def test_an_address_that_is_not_ours_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_METRICS_PORT: can't listen on 192\.0\.2\.1:9464"):
        bind_next_free("192.0.2.1", 9464)


def test_ipv6_is_served_as_well() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with bind_next_free("::1", 0) as listener:
        assert listener.family is socket.AF_INET6


async def test_a_living_process_says_so() -> None:
    async with serving({"postgres": broken}) as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


@pytest.mark.parametrize("checks", [{}, {"postgres": fine, "redis": fine}])
async def test_a_process_is_ready_when_everything_answers(checks: Mapping[str, ReadinessCheck]) -> None:
    async with serving(checks) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_a_process_that_is_not_ready_names_what_is_down_and_nothing_more() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving({"redis": fine, "postgres": broken}) as client:
            answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "down": ["postgres"]})
    assert [(entry["event"], entry["check"], entry["problem"]) for entry in logs] == [
        ("readiness_check_failed", "postgres", "ConnectionError")
    ]
    assert "canary" not in str(logs)


async def test_checks_that_hang_share_one_deadline() -> None:
    checks = dict.fromkeys([f"part-{number}" for number in range(50)], hanging)
    down = await asyncio.wait_for(failing_checks({**checks, "fine": fine}, deadline=0.01), timeout=10)
    assert down == list(checks)


async def test_a_check_that_ignores_its_cancellation_is_not_waited_for() -> None:
    let_go = asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        msg = "much too late"
        raise ConnectionError(msg)

    down = await asyncio.wait_for(failing_checks({"stubborn": stubborn}, deadline=0.01), timeout=10)
    assert down == ["stubborn"]
    let_go.set()


async def test_a_check_that_fails_before_it_awaits_is_down_too() -> None:
    def careless() -> Awaitable[None]:
        raise ValueError

    assert await failing_checks({"careless": careless}, deadline=1) == ["careless"]


async def test_metrics_are_served_in_the_format_asked_for() -> None:
    metrics = Metrics()
    metrics.custody_contended()
    async with serving({}, metrics) as client:
        text = await client.get("/metrics")
        openmetrics = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert "tokenkeep_custody_contended_total 1.0" in text.text
    assert text.headers.get_list("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/metrics", 405), ("GET", "/docs", 404)])
async def test_nothing_else_is_served(method: str, path: str, status: int) -> None:
    async with serving({}) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status


async def test_two_servers_on_one_port_setting_stand_side_by_side() -> None:
    first = HealthServer(Metrics(), {}, port=0, host=LOOPBACK)
    taken = await first.start()
    second = HealthServer(Metrics(), {}, port=taken, host=LOOPBACK)
    try:
        assert await second.start() > taken
    finally:
        await second.stop()
        await first.stop()


async def test_stopping_finishes_the_request_under_way_and_frees_the_port() -> None:
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        asked.set()
        await answer_now.wait()

    server = HealthServer(Metrics(), {"slow": slow}, port=0, host=LOOPBACK)
    port = await server.start()
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as client:
        request = asyncio.create_task(client.get("/readyz"))
        await asked.wait()
        stopping = asyncio.create_task(server.stop())
        answer_now.set()
        assert (await request).status_code == 200
        await stopping
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
    with bind_next_free(LOOPBACK, port) as again:
        assert again.getsockname()[1] == port


async def test_the_processs_own_signal_handlers_stay_in_place() -> None:
    handlers: Callable[[], list[object]] = lambda: [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]  # noqa: E731 - asked twice
    before = handlers()
    async with serving({}) as client:
        await client.get("/healthz")
        assert handlers() == before
    assert handlers() == before


async def test_a_server_that_was_not_started_stops_at_once() -> None:
    await HealthServer(Metrics(), {}, port=0, host=LOOPBACK).stop()


async def test_a_server_starts_once() -> None:
    server = HealthServer(Metrics(), {}, port=0, host=LOOPBACK)
    await server.start()
    try:
        with pytest.raises(RuntimeError, match="started before"):
            await server.start()
    finally:
        await server.stop()
