"""What a run of the demo is asked to do."""

from dataclasses import dataclass

# None of them is left out of a table that is 80 columns wide.
_NAMES = (
    *("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kim", "leo", "mallory"),
    *("niaj", "olivia", "peggy", "quinn", "rupert", "sybil", "trent", "ursula", "victor", "wendy", "xavier", "yvonne"),
    "zoe",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Times are in seconds.

    Args:
        accounts: How many are connected at first.
        token_lifetime_s: Of access tokens.
        revoke_every_s: The pause between two revocations.
        for_s: How long the show lasts, or the incident once it shows; None until it is stopped, or for the incident's own time.
        plain: Lines instead of a table that renews itself.
    """

    accounts: int
    token_lifetime_s: int
    revoke_every_s: float
    for_s: float | None
    plain: bool

    @property
    def fewest_active(self) -> int:
        """Revoking never leaves fewer accounts active than this: a fresh one is connected first."""
        return min(2, self.accounts)


def name_of(number: int) -> str:
    """The user who is the n-th to connect, from 0: alice, bob and so on to zoe, then alice-2, bob-2."""
    rounds, place = divmod(number, len(_NAMES))
    return _NAMES[place] if rounds == 0 else f"{_NAMES[place]}-{rounds + 1}"
