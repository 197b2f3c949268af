"""How far a server's clock is from this host's, as far as a network lets one know."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenkeep.application.checkup.findings import Finding, fault, ok, warning

_WARN_S = 1.0
_FAULT_S = 10.0


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The host's wall clock before and after a question, and the server's answer, in seconds of the Unix epoch."""

    before: float
    told: float
    after: float

    @property
    def ahead_s(self) -> float:
        """By how much the server is ahead, if its answer was given halfway."""
        return self.told - (self.before + self.after) / 2

    @property
    def unsure_s(self) -> float:
        """By how much that may be wrong: half of the round trip."""
        return (self.after - self.before) / 2


def judge_clock(check: str, server: str, readings: Sequence[ClockReading]) -> Finding:
    """By the reading whose round trip was shortest. A difference that the round trip could explain is none."""
    best = min(readings, key=lambda one: one.unsure_s)
    surely_s = max(abs(best.ahead_s) - best.unsure_s, 0.0)
    way = "ahead of" if best.ahead_s > 0 else "behind"
    saw = f"{server} is {abs(best.ahead_s):.3f} s {way} this host (±{best.unsure_s:.3f} s)"
    do = "let NTP (chrony, systemd-timesyncd) set the clocks of this host and of the server"
    if surely_s >= _FAULT_S:
        return fault(check, saw, f"{do}: tokens are handed out that have run out, assertions of clients are refused")
    if surely_s >= _WARN_S:
        return warning(check, saw, do)
    return ok(check, saw)
