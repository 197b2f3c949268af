"""One environment in figures, and how the latest tries of one source ended, for the console."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.application.fleet import AccountGroup, Waiting
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.ids import SourceId

MINUTES: Final = 15
"""How far back `EnvironmentFigures.minutes` goes."""

AHEAD_STEP: Final = timedelta(minutes=5)
AHEAD_STEPS: Final = 12

LATEST: Final = timedelta(minutes=10)
"""How far back tries are the latest ones. Within it, an open breaker sends several accounts."""

ENDPOINT_FAULTS: Final = frozenset(
    {
        FailureReason.NETWORK_ERROR,
        FailureReason.TIMEOUT,
        FailureReason.PROVIDER_5XX,
        FailureReason.MALFORMED_RESPONSE,
    }
)
"""Reasons that lie with the endpoint and not with who was refreshed."""

MOST_UNTOLD: Final = 10_000
"""Up to how many `EnvironmentFigures.untold` are counted."""

_FEWEST_IN_A_ROW = 3
_FEWEST_OF_MANY = 10


@dataclass(frozen=True, slots=True)
class RefreshMinute:
    """What was settled in one minute: refreshes that succeeded, and tries that did not."""

    at: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class EndpointTries:
    """How a source's token endpoint took the latest tries.

    Attributes:
        answered: Those that it answered, whatever it said.
        failed: Those that failed by its own fault: no connection, no answer, an error of its own.
        in_a_row: How many of these there were since the last one that it answered.
    """

    answered: int = 0
    failed: int = 0
    in_a_row: int = 0

    @property
    def looks_down(self) -> bool:
        """By about the measure of the breakers (`domain.outage_breaker`), which live in the workers' memory.

        Strict providers' breakers open at the second answer that was lost. Where some are answered, it takes half of ten.
        """
        return self.in_a_row >= _FEWEST_IN_A_ROW or self.failed >= max(_FEWEST_OF_MANY, self.answered)


@dataclass(frozen=True, slots=True)
class EnvironmentFigures:
    """One environment at one moment, for whoever is on call.

    Attributes:
        counted_at: When, by the database's clock.
        accounts: How many accounts each group has; a group that is left out has none.
        expired: How many active accounts hold an expired token.
        neglected: Those of them whose source is neither paused nor down: nothing else tells why.
        overdue: How many accounts should have been refreshed more than a minute ago, and have not been, as `fleet` counts them:
            those of sources that are paused are left out.
        longest_overdue: How late the latest of them is; zero when there is none.
        late: How many of them belong to sources that are not down.
        stopped: Sources that have paused themselves.
        down: Sources that are not paused and whose endpoint looks down.
        untold: Events that Redis has not got yet, up to `MOST_UNTOLD`.
        minutes: The last minutes, oldest first, quiet ones too; the last one is still under way.
        ahead: How many refreshes are planned for each span of `AHEAD_STEP` from now on, at sources that are refreshed.
    """

    counted_at: datetime
    accounts: Mapping[AccountGroup, int]
    expired: int
    neglected: int
    overdue: int
    longest_overdue: timedelta
    late: int
    stopped: frozenset[SourceId]
    down: frozenset[SourceId]
    untold: Waiting
    minutes: Sequence[RefreshMinute]
    ahead: Sequence[int]


@dataclass(frozen=True, slots=True)
class SourceTries:
    """How the latest tries of one source ended: those that worked, and those that did not, by reason; and how its endpoint took them.

    `put_off` counts accounts whose refresh is due and must wait: for a retry, a rate limit, an endpoint that is down.
    """

    succeeded: int
    failed: Mapping[str, int]
    put_off: int
    endpoint: EndpointTries
