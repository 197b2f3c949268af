"""The fleet in figures: what the scheduler counts in the database and in Redis, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.ids import SourceId, WebhookId


@dataclass(frozen=True, slots=True)
class AccountGroup:
    """Accounts that are counted together. `reason` is None unless they are disabled."""

    source_id: SourceId
    state: AccountState
    health: Health
    reason: DisabledReason | None = None


@dataclass(frozen=True, slots=True)
class RunningSource:
    """A source that is not paused, so that its accounts should be fresh."""

    id: SourceId
    provider: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Things that wait: how many, and for how long the oldest has; zero when there is none."""

    count: int = 0
    oldest: timedelta = timedelta(0)


class WebhookCondition(StrEnum):
    """How a webhook is: its latest delivery succeeded or there was none, it fails, or it is sent nothing any more."""

    DELIVERING = "delivering"
    FAILING = "failing"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """All accounts and events of one database, counted at about one moment. What is said by provider names every one in use.

    Attributes:
        accounts: How many accounts each group has; a group that is left out has none.
        expired: How many active accounts hold an expired token, by provider.
        neglected: The same, of each running source; sources without any are left out.
        due: How many accounts are due for a refresh and not yet handed to a worker.
        overdue: Accounts of running sources whose refresh has been due for more than a minute, by provider.
        in_doubt: Accounts whose refresh token may be used up without an answer that we know, by provider; how long is told of
            running sources alone, for nobody else is asked.
        sealed: How many accounts' credentials are sealed under each key of the keyring, by its id.
        paused: Why each paused source is paused; other sources are left out.
        outbox: Events that are not yet published.
        inbox: Events of services that are accepted and not yet worked off.
        revocations: Grants that providers are still to be told to revoke.
        webhooks: How many webhooks are in each condition.
        failing: For how long webhooks have been failing, of at most a hundred, those that fail longest.
        deliveries: How many deliveries wait for their turn, or for their next try.
        feed_lag: How long the oldest event has waited that is not given out to webhooks; zero when there is none, or no webhook.
    """

    accounts: Mapping[AccountGroup, int]
    expired: Mapping[str, int]
    neglected: Mapping[RunningSource, int]
    due: int
    overdue: Mapping[str, Waiting]
    in_doubt: Mapping[str, Waiting]
    sealed: Mapping[str, int]
    paused: Mapping[SourceId, str]
    outbox: Waiting
    inbox: Waiting
    revocations: Waiting
    webhooks: Mapping[WebhookCondition, int]
    failing: Mapping[WebhookId, timedelta]
    deliveries: int
    feed_lag: timedelta


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """How the Redis streams stand.

    Attributes:
        inbox: How many entries of `tokenkeep:inbox` are not taken yet.
        dead: How many of them could not be understood and were put aside.
        unread: For how long the first entry of `tokenkeep:events` that it has not acknowledged has waited, by consumer group.
    """

    inbox: int
    dead: int
    unread: Mapping[str, timedelta]
