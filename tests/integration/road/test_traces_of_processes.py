"""Traces through real processes, to a collector, by the variables that OpenTelemetry names."""

import asyncio

import pytest

from road import Road
from road_processes import process
from token_server import TokenServer
from trace_collector import collecting


async def test_one_trace_leads_through_the_processes_to_a_collector(
    road: Road, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
        await road.account(await road.source(server.url))
        async with process(road, "scheduler"), process(road, "worker"), asyncio.timeout(60):
            while not {"publish tokenkeep.account.refreshed", "refresh batch"} <= collector.names():  # noqa: ASYNC110 - it has a thread of its own
                await asyncio.sleep(0.05)
    found = sorted((service, span.name) for service, span in collector.spans)
    assert found == [
        ("tokenkeep-scheduler", "publish tokenkeep.account.refreshed"),
        ("tokenkeep-scheduler", "tick"),
        ("tokenkeep-worker", "provider call"),
        ("tokenkeep-worker", "refresh"),
        ("tokenkeep-worker", "refresh batch"),
        ("tokenkeep-worker", "settle"),
    ]
    assert len({span.trace_id for _, span in collector.spans}) == 1
