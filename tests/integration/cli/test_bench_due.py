"""`tokenkeep bench due` finds everybody who is due, and says so in a form that other programs read."""

import asyncio
import json
import subprocess
import sys

import pytest

_OF_A_SIZE = {"claims_per_s", "claim_enqueue_per_s", "limit_claims_per_s", "empty_poll_us", "uncleaned_poll_us", "idle"}
_FIGURES = {"cost_ratio", "claim_enqueue_per_s", "naive_claims_per_s", "naive_claim_enqueue_per_s", "pickup_p95_ms"}


@pytest.mark.timeout(240)
async def test_it_prints_the_cost_of_finding_what_is_due_by_the_number_of_accounts() -> None:
    arguments = ["--json", "--rows", "2000", "--rows", "4000", "--samples", "20"]
    command = [sys.executable, "-m", "tokenkeep", "bench", "due", *arguments]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, (
        ended.stderr
    )  # it fails if an account is claimed twice, or one that is due is not found
    figures = json.loads(ended.stdout)["due"]
    assert figures.keys() >= _FIGURES
    assert figures["rows"].keys() == {"2000", "4000"}
    for size in figures["rows"].values():
        assert size.keys() >= _OF_A_SIZE
        assert size["idle"].keys() == {"scheduler", "worker"}
        assert all(size[name] > 0 for name in _OF_A_SIZE - {"idle"}), size
    rates = [figures["rows"][size]["claims_per_s"] for size in ("2000", "4000")]
    assert figures["cost_ratio"] == pytest.approx(rates[1] / rates[0], abs=0.002)
