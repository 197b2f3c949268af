"""A breaker for endpoints that fail: while it is open nothing is sent, and nobody is counted as failing.

With strict providers each lost answer may cost a grant, so an endpoint that loses answers must stop us at once.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

_WINDOW_S = 60.0
_MOST_CALLS = 200
"""How many of the latest calls are looked at; a busy endpoint shows its state in fewer."""
_FEWEST_CALLS = 10
_FAILED_SHARE = 0.5
_FEWEST_DOUBTS = 2
_DOUBT_SHARE = 0.2
_FIRST_REST_S = 10.0
_LONGEST_REST_S = 120.0
_PROBE_TIME_S = 60.0
"""How long a probe may be on its way before another one is sent."""
_REFUSALS = frozenset({FailureReason.PROVIDER_4XX, FailureReason.INSUFFICIENT_RESPONSE})
"""How answers fail that are the endpoint's own and whole, unless they leave a doubt."""
_STRICT = {RotationKind.STRICT, RotationKind.STRICT_REVOKE}


class Gate(StrEnum):
    """What an account of the source may do."""

    OPEN = "open"
    ONE = "one"
    CLOSED = "closed"


@dataclass(slots=True)
class OutageBreaker:
    """One source's endpoint as one worker sees it. Times are seconds on a monotonic clock."""

    rotation: Rotation
    calls: deque[tuple[float, bool, bool]] = field(default_factory=lambda: deque(maxlen=_MOST_CALLS))
    rests: int = 0
    resting_until: float | None = None
    probing_since: float | None = None

    def gate(self, now: float) -> Gate:
        """Whether accounts may be sent: all, one to see how things are, or none."""
        if self.resting_until is None:
            return Gate.OPEN
        if now < self.resting_until:
            return Gate.CLOSED
        is_probing = self.probing_since is not None and now - self.probing_since < _PROBE_TIME_S
        return Gate.CLOSED if is_probing else Gate.ONE

    def may_risk_a_doubtful(self, now: float) -> bool:
        """Whether an account that is in doubt may be the probe: only if none came for a while that is not."""
        return self.resting_until is not None and now >= self.resting_until + _FIRST_REST_S

    def send_probe(self, now: float) -> None:
        """One account is on its way to see how things are."""
        self.probing_since = now

    def record(self, verdict: Verdict, now: float) -> None:
        """Take note of how a call ended. One that we did not send for a reason of ours says nothing of the endpoint."""
        if isinstance(verdict, NotSent) and not verdict.is_of_the_network:
            self.probing_since = None
            return
        failed, doubtful = _judged(verdict)
        if self.resting_until is not None:
            self._probed(failed=failed, now=now)
            return
        self.calls.append((now, failed, doubtful and self.rotation.kind in _STRICT))
        while self.calls and self.calls[0][0] < now - _WINDOW_S:
            self.calls.popleft()
        if self._is_broken():
            self._rest(now)

    def _probed(self, *, failed: bool, now: float) -> None:
        """A call that ended while the breaker is open: a probe, or one that was under way before."""
        if not failed:
            self.rests = 0
            self.resting_until = self.probing_since = None
            self.calls.clear()
        elif self.resting_until is not None and now >= self.resting_until:
            self._rest(now)

    def _is_broken(self) -> bool:
        failures = sum(failed for _, failed, _ in self.calls)
        doubts = sum(doubtful for _, _, doubtful in self.calls)
        if doubts >= _FEWEST_DOUBTS and doubts >= _DOUBT_SHARE * len(self.calls):
            return True
        return len(self.calls) >= _FEWEST_CALLS and failures >= _FAILED_SHARE * len(self.calls)

    def _rest(self, now: float) -> None:
        self.resting_until = now + min(_FIRST_REST_S * 2**self.rests, _LONGEST_REST_S)
        self.rests = min(self.rests + 1, 10)
        self.probing_since = None
        self.calls.clear()


def _judged(verdict: Verdict) -> tuple[bool, bool]:
    """Whether a call failed, and whether it left a doubt."""
    match verdict:
        case Granted() | Revoked() | Misconfigured() | RateLimited():
            return False, False
        case Unavailable(maybe_spent=maybe_spent, reason=reason):
            return reason not in _REFUSALS or maybe_spent, maybe_spent
        case NotSent():
            return True, False
        case _:
            assert_never(verdict)
