"""Kinds of providers: what a second presentation of a refresh token does (custody protocol, section 4)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_SHORTEST_USEFUL_GRACE = timedelta(seconds=60)
"""A shorter grace is over before a second presentation could be made in it; such a provider counts as strict."""

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
    """One source's kind, with its grace period where it has one."""

    kind: RotationKind
    grace: timedelta = timedelta(0)

    @property
    def spends(self) -> bool:
        """Whether an unanswered presentation may have used the refresh token up."""
        return self.kind is not RotationKind.NONE


def rotation_of(*, rotates: str, grace: timedelta, reuse: str) -> Rotation:
    """The kind that a source's options describe.

    Args:
        rotates: `yes`, `no` or `sometimes` (the option `refresh_rotates`).
        grace: How long a replaced refresh token still works.
        reuse: `revokes`, `refuses`, `none` or `unknown` (the option `reuse_detection`).
    """
    if rotates == "no":
        return Rotation(RotationKind.NONE)
    if grace >= _SHORTEST_USEFUL_GRACE:
        return Rotation(RotationKind.GRACE, grace)
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
                return max(self.provider_deadline + self.margin, min(self.strict, rotation.grace / 4))
            case RotationKind.STRICT | RotationKind.STRICT_REVOKE:
                return self.strict


def probe_at(
    rotation: Rotation,
    quarantine: Quarantine,
    *,
    presentations: int,
    sent_at: datetime,
    expires_at: datetime | None,
) -> datetime:
    """When to present a refresh token again that was presented and never answered.

    One presentation can only win: if the request was lost, the token is alive and giving up would disable a live
    grant; if the answer was lost, the grant is gone either way, and the provider will say so. Silence is no word on
    the grant, so no number of unanswered presentations disables an account; the waits grow instead.

    With strict kinds the first probe comes late, because a refused presentation may also kill the access token that
    still works (custody protocol, section 4).
    """
    span = quarantine.span(rotation)
    earliest = sent_at + span * min(1 << max(presentations - 1, 0), _LONGEST_STRETCH)
    latest = sent_at + max(span, quarantine.longest_probe_delay)
    earliest = min(earliest, latest)
    match rotation.kind:
        case RotationKind.NONE | RotationKind.UNTIL_USED | RotationKind.GRACE:
            return earliest
        case RotationKind.STRICT | RotationKind.STRICT_REVOKE:
            wanted = earliest if expires_at is None else expires_at - timedelta(minutes=1)
            return max(earliest, min(wanted, latest))
