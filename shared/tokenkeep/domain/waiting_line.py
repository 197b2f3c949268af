"""Where the accounts of a source wait that can't go now: one behind the other at its pace, none of them far away."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.refresh_policy import spread

REACH_S = 300.0
"""No account waits for longer than this beyond the wait that its source was asked for.

So what waits is looked at again every few minutes at most: whoever is most urgent by then goes first, and when the source can
take more again, all of it comes within that time, and evenly.
"""


@dataclass(slots=True)
class WaitingLine:
    """The line of one source as one process sees it: where it ends, in seconds on a monotonic clock."""

    ends_at: float = float("-inf")

    def places(self, account_ids: Sequence[AccountId], *, now: float, wait_s: float, per_s: float) -> list[float]:
        """In how many seconds each of these is looked at again, in their order.

        Args:
            account_ids: Who waits, the most urgent first.
            now: The present moment.
            wait_s: How long nobody goes, in seconds.
            per_s: How many go each second from then on.
        """
        first = now + wait_s
        last = first + REACH_S
        at = min(max(self.ends_at, first), last)
        waits = []
        for account_id in account_ids:
            at += 1 / per_s
            # Behind a line that is full, anywhere along it: a place at its end would be everybody's.
            moment = at if at <= last else first + REACH_S * spread(account_id, int(now))
            waits.append(moment - now)
        self.ends_at = min(at, last)
        return waits
