"""The fleet in figures: what the scheduler counts in the database, for metrics and the console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.ids import SourceId


@dataclass(frozen=True, slots=True)
class AccountGroup:
    """Accounts that are counted together. `reason` is None unless they are disabled."""

    source_id: SourceId
    state: AccountState
    health: Health
    reason: DisabledReason | None = None


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """All accounts and events of one database, counted at one moment.

    Attributes:
        accounts: How many accounts each group has; a group that is left out has none.
        expired: How many active accounts hold an expired token, by provider. It names every provider in use, so that
            a zero is told from silence.
        due: How many accounts are due for a refresh and not yet handed to a worker.
        paused: Why each paused source is paused; other sources are left out.
        outbox_pending: How many events are not yet published.
        outbox_lag: How long the oldest of them has waited; zero when there is none.
    """

    accounts: Mapping[AccountGroup, int]
    expired: Mapping[str, int]
    due: int
    paused: Mapping[SourceId, str]
    outbox_pending: int
    outbox_lag: timedelta
