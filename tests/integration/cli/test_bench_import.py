"""`tokenkeep bench import` takes every account in, and says how fast in a form that other programs read."""

import asyncio
import json
import subprocess
import sys

import pytest

_FIGURES = {
    "accounts_per_s",
    "two_imports_per_s",
    "two_processes_per_s",
    "limit_per_s",
    "naive_accounts_per_s",
    "bytes_per_account",
    "wal_bytes_per_account",
    "ratio_to_naive",
    "ratio_to_limit",
}


@pytest.mark.timeout(540)
async def test_it_prints_the_rate_beside_a_limit_and_a_reference() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "import", "--json", "--accounts", "500"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr  # it fails unless every account was created
    figures = json.loads(ended.stdout)["import"]
    assert figures.keys() >= _FIGURES
    assert all(figure > 0 for figure in figures.values()), figures
    assert figures["ratio_to_naive"] == pytest.approx(
        figures["accounts_per_s"] / figures["naive_accounts_per_s"], abs=0.002
    )
