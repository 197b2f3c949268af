"""What a fleet is held to, and whether it keeps to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tokenkeep.cli.bench.fleet.day import Beginning, Day
from tokenkeep.cli.bench.fleet.minutes import MinutesFigures

EVEN: Final = 0.2
"""How far the load may be from its mean; a share of it."""
_LEAST_PER_S: Final = 850 / 3_000_000
"""What tokens that live for an hour want at the least, each refreshed at its very end: refreshes a second and account."""
_LEFT_CORES: Final = 0.1
_WITHIN: Final = 0.99
"""How many of those that come due are refreshed, or told that they are revoked, before the time is over; some are due at its very end."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside what it is to be: at least that, or at most."""

    name: str
    measured: float
    wanted: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


def day_targets(day: Day) -> Iterator[Target]:
    """The load is even: after an import from its end on, after a downtime from the second round on."""
    if day.beginning is not Beginning.DOWNTIME:
        yield Target(f"load_first_rounds_{day.beginning}", day.ours.first_rounds, EVEN)
    yield Target(f"load_afterwards_{day.beginning}", day.ours.afterwards, EVEN)


def minutes_targets(it: MinutesFigures) -> Iterator[Target]:
    """Nobody runs out, nobody is disabled or presented wrongly, and it keeps up with what falls due."""
    yield Target("expired_while_active", it.fates.expired, 0)
    yield Target("presented_twice", it.reused, 0)
    yield Target("disabled_wrongly", it.disabled_wrongly, 0)
    yield Target("refreshes_per_s", it.fates.refreshed_within / it.seconds, it.accounts * _LEAST_PER_S, at_least=True)
    yield Target("share_done_in_time", done_in_time(it), _WITHIN, at_least=True)
    yield Target("load_at_real_rate", deviation(it), EVEN)
    yield Target("cpu_left_cores", it.cpu.left, _LEFT_CORES, at_least=True)


def done_in_time(it: MinutesFigures) -> float:
    """How many of those who came due were refreshed or told that they are revoked before the time was over; a share of them."""
    fates = it.fates
    return (fates.refreshed_within + fates.disabled) / max(1, fates.due - fates.waiting_out)


def deviation(it: MinutesFigures) -> float:
    """How far the requests of any second were from their mean at most; a share of it."""
    # The first ones are those that had to wait for the beginning.
    loads = it.presented_per_second[2:]
    mean = sum(loads) / max(1, len(loads))
    return max(abs(one / mean - 1) for one in loads) if mean else 0.0
