"""`tokenkeep bench processes` measures the same work by more processes, and counts what must never be."""

import asyncio
import json
import subprocess
import sys

import pytest

_OF_OURS = {"worker", "scheduler", "postgres", "valkey", "endpoint", "total"}
_OF_THE_REFERENCE = _OF_OURS - {"scheduler"}


@pytest.mark.timeout(540)
async def test_what_a_refresh_costs_is_told_by_the_kind_of_process_and_by_how_many_there_are() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "processes", "--json"]
    command += ["--accounts", "300", "--naive-accounts", "60", "--count", "1", "--count", "2", "--latency", "50"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["processes"]
    assert [figures[name] for name in ("presented_twice", "attempted_twice", "unsettled")] == [0, 0, 0]
    for latency_ms, cases in ((50, figures["with_room"]), (0, figures["full"])):
        assert [(one["latency_ms"], one["processes"]) for one in cases] == [(latency_ms, 1), (latency_ms, 2)]
        for case in cases:
            assert case["ratio_to_first"] == pytest.approx(case["rps"] / cases[0]["rps"], abs=0.02)
            assert case["cpu_us"].keys() == _OF_OURS
            assert case["cpu_us"]["total"] == sum(case["cpu_us"][one] for one in _OF_OURS - {"endpoint", "total"})
            assert (
                min(case[name] for name in ("wal_bytes", "commits", "wal_syncs", "redis_commands", "redis_bytes")) > 0
            )
            assert case["connections"].keys() >= {"worker", "scheduler", "listener", "redis"}
    assert all(one["in_flight_per_worker"] == 100 and one["ratio_to_limit"] > 0 for one in figures["with_room"])
    assert [one["processes"] for one in figures["reference"]] == [1, 2]
    assert all(one["cpu_us"].keys() == _OF_THE_REFERENCE and one["rps"] > 0 for one in figures["reference"])
