"""Whether a process that died is started again, and when: a pure decision."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Back-off in seconds, doubling; and how many deaths within how many seconds are too many."""

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    too_many: int = 5
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Start it again after this many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It dies too often: starting it again will not help."""

    deaths: int
    within_s: float


Decision = StartAgain | GiveUp


def recent(deaths: Sequence[float], *, now: float, policy: RestartPolicy) -> tuple[float, ...]:
    """The deaths that still count, by the clock that `now` is read from, in seconds."""
    return tuple(moment for moment in deaths if now - moment < policy.window_s)


def decide(deaths: Sequence[float], *, now: float, policy: RestartPolicy) -> Decision:
    """What to do after the last of these deaths. Only those within the window count, for the delay too."""
    count = len(recent(deaths, now=now, policy=policy))
    if count >= policy.too_many:
        return GiveUp(count, policy.window_s)
    return StartAgain(min(policy.first_delay_s * 2 ** max(count - 1, 0), policy.longest_delay_s))
