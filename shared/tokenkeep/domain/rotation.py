"""Kinds of providers: what a second presentation of a refresh token does (custody protocol, section 4)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_SHORTEST_USEFUL_GRACE = timedelta(seconds=60)
"""A shorter grace is over before a second presentation could be made in it; such a provider counts as strict."""

GRACE_MARGIN = timedelta(seconds=10)
"""How long before the end of a grace period the last presentation in it must be over."""

_LONGEST_STRETCH = 64
"""By how much the wait between unanswered presentations may grow, as a multiple of the quarantine."""


class RotationKind(StrEnum):
    """How a provider treats a refresh token after its use.

    `none`: it is kept. `until_used`: it is replaced, but a second presentation does no harm. `grace`: the old one still
    works for a while. `strict`: single use, a second presentation is refused. `strict_revoke`: a second presentation
    kills the grant; also what we assume when we do not know.
    """

    NONE = "none"
    UNTIL_USED = "until_used"
    GRACE = "grace"
    STRICT = "strict"
    STRICT_REVOKE = "strict_revoke"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One source's kind, with its grace period where it has one.

    `same_successor`: inside the grace, a replaced token yields the very successor that it yielded before. Then even a second
    presentation beside a first one that is still being worked on does no harm.
    `carried`: a hook presents the tokens, and may do so as late as our deadline, when we would have had the answer.
    """

    kind: RotationKind
    grace: timedelta = timedelta(0)
    same_successor: bool = False
    carried: bool = False

    @property
    def spends(self) -> bool:
        """Whether an unanswered presentation may have used the refresh token up."""
        return self.kind is not RotationKind.NONE


def rotation_of(*, rotates: str, grace: timedelta, reuse: str, successor: str = "unknown") -> Rotation:
    """The kind that a source's options describe.

    Args:
        rotates: `yes`, `no` or `sometimes` (the option `refresh_rotates`).
        grace: How long a replaced refresh token still works.
        reuse: `revokes`, `refuses`, `none` or `unknown` (the option `reuse_detection`).
        successor: `same`, `newest` or `unknown` (the option `old_refresh_grace_answer`).
    """
    if rotates == "no":
        return Rotation(RotationKind.NONE)
    if grace >= _SHORTEST_USEFUL_GRACE:
        return Rotation(RotationKind.GRACE, grace, same_successor=successor == "same")
    if reuse == "refuses":
        return Rotation(RotationKind.STRICT)
    if reuse == "none":
        return Rotation(RotationKind.UNTIL_USED)
    return Rotation(RotationKind.STRICT_REVOKE)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """How long nobody presents a refresh token again after a presentation whose answer is unknown."""

    strict: timedelta
    provider_deadline: timedelta
    margin: timedelta = timedelta(seconds=5)
    longest_probe_delay: timedelta = timedelta(minutes=15)

    def span(self, rotation: Rotation) -> timedelta:
        """The quarantine after `sent_at`, by the provider's kind."""
        match rotation.kind:
            case RotationKind.NONE | RotationKind.UNTIL_USED:
                return self.provider_deadline + self.margin
            case RotationKind.GRACE:
                over = self.provider_deadline * (2 if rotation.carried else 1) + self.margin
                return max(over, min(self.strict, rotation.grace / 4))
            case RotationKind.STRICT | RotationKind.STRICT_REVOKE:
                return self.strict


def probe_at(
    rotation: Rotation,
    quarantine: Quarantine,
    *,
    presentations: int,
    sent_at: datetime,
    expires_at: datetime | None,
    doubt_since: datetime | None = None,
) -> datetime:
    """When to present a refresh token again that was presented and never answered.

    One presentation can only win: if the request was lost, the token is alive and giving up would disable a live
    grant; if the answer was lost, the grant is gone either way, and the provider will say so. Silence is no word on
    the grant, so no number of unanswered presentations disables an account; the waits grow instead.

    With strict kinds the first probe comes late, because a refused presentation may also kill the access token that
    still works (custody protocol, section 4); `expires_at` is until when a refresh comes in time. A provider whose grace has passed since `doubt_since`, the first unanswered
    presentation, is as strict as any.
    """
    span = quarantine.span(rotation)
    earliest = sent_at + span * min(1 << max(presentations - 1, 0), _LONGEST_STRETCH)
    latest = sent_at + max(span, quarantine.longest_probe_delay)
    earliest = min(earliest, latest)
    match rotation.kind:
        case RotationKind.NONE | RotationKind.UNTIL_USED:
            return earliest
        case RotationKind.GRACE if earliest <= (doubt_since or sent_at) + rotation.grace - GRACE_MARGIN:
            return earliest
        case RotationKind.GRACE | RotationKind.STRICT | RotationKind.STRICT_REVOKE:
            wanted = earliest if expires_at is None else expires_at - timedelta(minutes=1)
            return max(earliest, min(wanted, latest))


def late_probe_at(*, sent_at: datetime, expires_at: datetime | None, now: datetime) -> datetime:
    """When to probe a token in doubt whose provider's kind is not at hand: as late as with the strictest."""
    latest = sent_at + timedelta(minutes=15)
    return max(now, latest if expires_at is None else min(expires_at - timedelta(minutes=1), latest))


_MOST_RETRIES = 2


def may_retry_at_once(rotation: Rotation, *, retries: int, since_sent: timedelta, deadline: timedelta) -> bool:
    """Whether the holder itself may present the token again under the same lease, after an answer that was lost.

    Only where the provider answers a replaced token with the same successor, and only if the presentation is sure to be
    over within the grace. Where a newer successor outdates the first, the first request must be over beforehand; nobody but
    the quarantine can say when that is.

    Args:
        rotation: The source's kind.
        retries: How often the holder has done so already.
        since_sent: How long ago the token was first presented.
        deadline: How long one presentation may take.
    """
    if rotation.kind is not RotationKind.GRACE or not rotation.same_successor or retries >= _MOST_RETRIES:
        return False
    return since_sent + deadline <= rotation.grace - GRACE_MARGIN
