"""Refresh attempts: the journal's entries."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.ids import AccountId, AttemptId


class Trigger(StrEnum):
    """What asked for a refresh. A probe is the one account that shows whether a paused source works again.

    A report is a service's word that the provider refuses the token, or that the grant is dead.
    """

    SCHEDULE = "schedule"
    DEMAND = "demand"
    PROBE = "probe"
    REPORT = "report"


class Outcome(StrEnum):
    """How an attempt ended. None in the journal means: not yet, or nobody lived to say."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    SUPERSEDED = "superseded"


class Resolution(StrEnum):
    """How an attempt ended a doubt that an earlier one had left: the grant is alive, or a rotation was lost for good."""

    RECOVERED = "recovered"
    LOST = "lost"


class Disposition(StrEnum):
    """What became of a token set that was received and not installed."""

    ORPHAN = "orphan"
    TRIED = "tried"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One journalled try to refresh one account, as its worker knows it. `due_at`: since when the refresh was due."""

    id: AttemptId
    account_id: AccountId
    epoch: int
    fence: int
    presented_generation: int
    trigger: Trigger
    correlation_id: str
    sent_at: datetime | None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A journal entry as it is read back."""

    id: AttemptId
    account_id: AccountId
    trigger: Trigger
    correlation_id: str
    presented_generation: int
    sent_at: datetime | None
    settled_at: datetime | None
    outcome: Outcome | None
    reason: FailureReason | None
    http_status: int | None
    error_code: str | None
    presentations: int
    resolution: Resolution | None
    due_at: datetime | None = None
