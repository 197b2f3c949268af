"""What `tokenkeep bench fleet` measures: days in no time, and minutes at real rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from tokenkeep.cli.bench.fleet.day import Beginning, Day, live_through
from tokenkeep.cli.bench.fleet.minutes import MinutesFigures, measure_minutes
from tokenkeep.cli.bench.scenario import Advance


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """Days by how they begin, and what was seen at real rate; None if that was left out."""

    accounts: int
    sample: int
    days: Sequence[Day]
    minutes: MinutesFigures | None


def measure_fleet(*, accounts: int, sample: int, seconds: int, workers: int, advance: Advance) -> FleetFigures:
    """Take a sample through a day of each kind; then keep all of them fresh for so many seconds, if any."""
    days = [live_through(one, accounts=accounts, sample=min(sample, accounts), advance=advance) for one in Beginning]
    minutes = None
    if seconds:
        minutes = uvloop.run(measure_minutes(accounts=accounts, seconds=seconds, workers=workers, advance=advance))
    return FleetFigures(accounts, min(sample, accounts), days, minutes)
