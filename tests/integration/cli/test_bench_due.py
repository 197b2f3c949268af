"""`tokenkeep bench due` finds everybody who is due, and says so in a form that other programs read."""

import asyncio
import json
import subprocess
import sys

import pytest

_OF_A_SIZE = {
    "claims_per_s",
    "first_claims_per_s",
    "claim_enqueue_per_s",
    "limit_claims_per_s",
    "empty_poll_us",
    "round_trip_us",
    "uncleaned_poll_us",
    "idle",
}
_FIGURES = {"cost_ratio", "claim_enqueue_per_s", "naive_claims_per_s", "naive_claim_enqueue_per_s", "pickup"}


@pytest.mark.timeout(540)
async def test_it_prints_the_cost_of_finding_what_is_due_by_the_number_of_accounts() -> None:
    arguments = ["--json", "--rows", "2000", "--rows", "4000", "--samples", "20"]
    command = [sys.executable, "-m", "tokenkeep", "bench", "due", *arguments]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
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
    assert figures["pickup"]["p50_ms"] <= figures["pickup"]["p95_ms"]
    rates = [figures["rows"][size]["claims_per_s"] for size in ("2000", "4000")]
    assert figures["cost_ratio"] == pytest.approx(rates[1] / rates[0], abs=0.002)


@pytest.mark.timeout(540)
async def test_a_week_of_refreshes_is_told_day_by_day() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "due", "--week", "--rows", "1000", "--json"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    days = json.loads(ended.stdout)["due_week"]["days"]
    assert len(days) == 8
    # Leases and write-aheads are done in place; a claim and a settlement move the due time, which is indexed.
    assert all(day["updated_in_place"] == pytest.approx(0.5, abs=0.1) for day in days[1:]), days
    assert all(day["wal_bytes"] > 0 for day in days[1:])


@pytest.mark.timeout(540)
async def test_the_big_tables_do_their_work_in_partitions_too() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "due", "--partitions", "4", "--rows", "100000", "--json"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    layouts = json.loads(ended.stdout)["due_partitions"]
    for layout in (layouts["whole"], layouts["partitioned"]):
        assert all(figure > 0 for figure in layout.values()), layout
