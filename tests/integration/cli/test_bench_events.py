"""`tokenkeep bench events` measures real processes, and says so in a form that other programs read."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

_FIGURES = {
    "median_ms",
    "p99_ms",
    "per_s",
    "limit_per_s",
    "naive_per_s",
    "naive_median_ms",
    "ratio_to_limit",
    "ratio_to_naive",
}


@pytest.mark.timeout(540)
async def test_it_prints_latency_and_throughput_beside_a_limit_and_a_reference() -> None:
    command = [
        sys.executable,
        "-m",
        "tokenkeep",
        "bench",
        "events",
        "--json",
        "--samples",
        "100",
        "--transitions",
        "1000",
    ]
    # It has an installation of its own, whatever the variables of whoever calls it say.
    environment = {**os.environ, "TOKENKEEP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["events"]
    assert figures.keys() >= _FIGURES
    assert all(figure > 0 for figure in figures.values()), figures
    assert figures["median_ms"] <= figures["p99_ms"]
    assert figures["ratio_to_limit"] == pytest.approx(figures["per_s"] / figures["limit_per_s"], abs=0.002)
