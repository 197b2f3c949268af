"""`tokenkeep bench fleet` takes a sample through a day and keeps a whole fleet fresh at real rate; nobody is lost on the way."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokenkeep.cli.bench.fleet.day import Beginning, live_through, needed_per_s
from tokenkeep.cli.bench.fleet.providers import PROVIDERS


@pytest.mark.timeout(540)
async def test_a_fleet_is_kept_fresh_at_real_rate_and_its_days_are_drawn(tmp_path: Path) -> None:
    drawn = tmp_path / "load.svg"
    command = [sys.executable, "-m", "tokenkeep", "bench", "fleet", "--json", "--accounts", "20000"]
    command += ["--seconds", "10", "--sample", "300", "--picture", str(drawn)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["fleet"]
    assert figures["days"].keys() == set(Beginning)
    minutes = figures["minutes"]
    assert (
        minutes["presented_twice"] == minutes["disabled_wrongly"] == minutes["expired"] == minutes["expired_now"] == 0
    )
    assert minutes["due"] > 0
    assert minutes["due"] == minutes["refreshed"] + minutes["disabled"] + minutes["waiting"]
    assert minutes["revoked_grants"] >= minutes["disabled"]
    assert sum(minutes["due_per_second"]) == minutes["due"]
    assert minutes["cores_used"].keys() >= {"scheduler", "worker", "PostgreSQL", "Valkey", "token endpoints"}
    assert figures["targets"]["expired_while_active"] == {"measured": 0, "at_most": 0, "met": True}
    assert drawn.read_text(encoding="utf-8").count('class="ours" d="M') == 1 + len(
        Beginning
    )  # the legend's, and each day's


@pytest.mark.parametrize("beginning", list(Beginning))
def test_the_load_becomes_what_keeps_the_fleet_fresh_and_no_herd_is_left_of_the_beginning(beginning: Beginning) -> None:
    day = live_through(beginning, accounts=1_000_000, sample=600, advance=lambda *_: None)
    assert day.ours.mean_per_s == pytest.approx(needed_per_s(1_000_000), rel=0.05)
    half_hours = [sum(day.ours.per_s[first : first + 15]) / 15 for first in range(60, len(day.ours.per_s), 15)]
    assert all(one == pytest.approx(day.ours.mean_per_s, rel=0.25) for one in half_hours)


def test_there_are_forty_providers_and_each_has_a_trouble_of_its_own_or_none() -> None:
    assert len({one.slug for one in PROVIDERS}) == 40
    assert {one.trouble for one in PROVIDERS} == {None, "throttling", "overloaded", "out"}
