"""What the gate in front of the database lease tells, besides whether it is open."""

from dataclasses import dataclass
from datetime import datetime

from tokenkeep.domain.ids import AccountId


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The newest generation of an account's credentials that was ever seen committed, and when that was noted."""

    generation: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """An account whose custody lock is now ours. `mirrored` None: the mirror knows nothing of it, or could not be asked."""

    account_id: AccountId
    mirrored: Mirrored | None = None
