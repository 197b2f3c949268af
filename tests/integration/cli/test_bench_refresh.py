"""`tokenkeep bench refresh` measures real processes with the whole protocol on, and counts what must never be."""

import asyncio
import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(540)
async def test_each_token_is_presented_once_and_each_account_settled_beside_a_limit_and_a_reference() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "refresh", "--json"]
    command += ["--accounts", "200", "--naive-accounts", "50", "--latency", "0", "--latency", "50", "--many", "200"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["refresh"]
    assert figures["presented_twice"] == 0
    assert figures["unsettled"] == 0
    assert 100 < figures["most_in_flight"] <= 200
    assert [(one["latency_ms"], one["rotating"]) for one in figures["cases"]] == [(0, True), (0, False), (50, True)]
    for case in figures["cases"]:
        assert min(case[name] for name in ("rps", "naive_rps", "client_rps", "httpx_rps", "cpu_us")) > 0
        assert case["ratio_to_naive"] == pytest.approx(case["rps"] / case["naive_rps"], rel=0.05)
        assert case["ratio_to_client"] == pytest.approx(case["rps"] / case["client_rps"], rel=0.05)
    assert figures["rps"] == figures["cases"][0]["rps"]
