"""One environment in figures, and how the latest tries of one source ended, for the console."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.application.fleet import AccountGroup

MINUTES: Final = 15
"""How far back `EnvironmentFigures.minutes` goes."""

AHEAD_STEP: Final = timedelta(minutes=5)
AHEAD_STEPS: Final = 12


@dataclass(frozen=True, slots=True)
class RefreshMinute:
    """What was settled in one minute: refreshes that succeeded, and tries that did not."""

    at: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class EnvironmentFigures:
    """One environment at one moment, for whoever is on call.

    Attributes:
        counted_at: When, by the database's clock.
        accounts: How many accounts each group has; a group that is left out has none.
        expired: How many active accounts hold an expired token.
        overdue: How many accounts should have been refreshed more than a minute ago, and have not been, as `fleet` counts them:
            those of sources that are paused are left out.
        longest_overdue: How late the latest of them is; zero when there is none.
        minutes: The last minutes, oldest first, quiet ones too; the last one is still under way.
        ahead: How many refreshes are planned for each span of `AHEAD_STEP` from now on, at sources that are refreshed.
    """

    counted_at: datetime
    accounts: Mapping[AccountGroup, int]
    expired: int
    overdue: int
    longest_overdue: timedelta
    minutes: Sequence[RefreshMinute]
    ahead: Sequence[int]


@dataclass(frozen=True, slots=True)
class SourceTries:
    """How the latest tries of one source ended: those that worked, and those that did not, by reason.

    `put_off` counts accounts whose refresh is due and must wait: for a retry, a rate limit, an endpoint that is down.
    """

    succeeded: int
    failed: Mapping[str, int]
    put_off: int
