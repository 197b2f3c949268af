"""What `TOKENKEEP_FAILPOINTS` says, read."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tokenkeep.domain.errors import SettingsError


class Point(StrEnum):
    """A place between two steps. Where each is, and whose, is told in the package's docstring."""

    LOCK_BEFORE = "lock.before"
    LOCK_TAKEN = "lock.taken"
    LEASE_UNCOMMITTED = "lease.uncommitted"
    LEASE_COMMITTED = "lease.committed"
    CONNECT_BEFORE = "connect.before"
    CONNECTED = "connected"
    WRITE_AHEAD_UNCOMMITTED = "write_ahead.uncommitted"
    WRITE_AHEAD_COMMITTED = "write_ahead.committed"
    SENT = "sent"
    ANSWERED = "answered"
    SETTLE_UNCOMMITTED = "settle.uncommitted"
    SETTLE_COMMITTED = "settle.committed"
    SPOOL_BEFORE = "spool.before"
    SPOOLED = "spooled"
    RELEASE_BEFORE = "release.before"
    RELEASED = "released"

    CLAIMED = "claimed"
    ENQUEUED = "enqueued"
    RELAY_READ = "relay.read"
    RELAY_PUBLISHED = "relay.published"
    SWEEP_UNCOMMITTED = "sweep.uncommitted"
    SWEEP_COMMITTED = "sweep.committed"


class Action(StrEnum):
    """What happens there."""

    KILL = "kill"
    RAISE = "raise"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Armed:
    """One entry: what happens at the point when it is reached for the `at`-th time, and `onwards` after it too."""

    point: Point
    action: Action
    seconds: float = 0.0
    at: int = 1
    onwards: bool = False

    def strikes(self, hit: int) -> bool:
        """Whether it happens at this hit, counted from 1."""
        return hit >= self.at if self.onwards else hit == self.at


_ENTRY = re.compile(
    r"(?P<point>[a-z_.]+)=(?:(?P<action>kill|raise|stop)|pause:(?P<seconds>[0-9]{1,4}(?:\.[0-9]{1,3})?))"
    r"(?:@(?P<at>[1-9][0-9]{0,5})(?P<onwards>\+)?)?"
)
_EXPECTED = "TOKENKEEP_FAILPOINTS: must be like settle.uncommitted=kill@3,sent=pause:40"


def parse(spec: str) -> tuple[Armed, ...]:
    """The entries, in their order.

    Raises:
        SettingsError: One can't be understood, or names a point that there is not.
    """
    return tuple(_entry(part.strip()) for part in spec.split(","))


def _entry(text: str) -> Armed:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise SettingsError(_EXPECTED)
    try:
        point = Point(found["point"])
    except ValueError:
        raise SettingsError(f"TOKENKEEP_FAILPOINTS: there is no point {found['point']}") from None
    return Armed(
        point=point,
        action=Action(found["action"] or Action.PAUSE),
        seconds=float(found["seconds"] or 0),
        at=int(found["at"] or 1),
        onwards=found["onwards"] is not None,
    )
