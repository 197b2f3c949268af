"""When revocations come too many at once to be believed.

A wrong client id, a restored backup at the provider and an outage of its user store look exactly like many users who
revoke at the same moment. So an unusual run of revocations is held, the source pauses, and a person decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil


@dataclass(frozen=True, slots=True)
class RevocationGuard:
    """What counts as unusual.

    Attributes:
        window: How far back revocations count.
        fewest: A run is never called unusual for fewer accounts than this.
        common: How many it takes where the source has that many accounts, but not many more.
        most: How many it takes at most, however large the source.
        share: The share of the source's accounts, and of the verdicts since the run began, that the run must reach.
    """

    window: timedelta = timedelta(hours=1)
    fewest: int = 5
    common: int = 10
    most: int = 20
    share: float = 0.2

    @property
    def most_accounts(self) -> int:
        """How many accounts need to be counted: more change nothing."""
        return ceil(self.most / self.share)

    @property
    def most_grants(self) -> int:
        """How many granted refreshes need to be counted: more change nothing."""
        return ceil(self.most / self.share) - self.most + 1

    def run_length(self, accounts: int) -> int:
        """How many accounts must be called revoked before the run is unusual."""
        return max(min(ceil(self.share * accounts), self.most), min(accounts, self.common), self.fewest)

    def run_began(self, revoked_at: Sequence[datetime], *, accounts: int) -> datetime | None:
        """When the latest run of that length began; None when there is none.

        Args:
            revoked_at: When the source's accounts were last called revoked, one moment for each, those within the window.
            accounts: How many accounts the source has, these included.
        """
        length = self.run_length(accounts)
        return None if len(revoked_at) < length else sorted(revoked_at)[-length]

    def is_unusual(self, *, accounts: int, granted: int) -> bool:
        """Whether a run is a large enough share of the verdicts since it began.

        A source whose many accounts are refreshed all the time sees revocations all the time. `granted` counts the refreshes
        that succeeded since the run began.
        """
        length = self.run_length(accounts)
        return length >= self.share * (length + granted)
