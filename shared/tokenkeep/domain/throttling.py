"""How long a source rests whose provider asks to slow down and does not say for how long."""

from dataclasses import dataclass

from tokenkeep.domain.ids import AccountId

_FIRST_S = 1.0
_LONGEST_S = 60.0
_CALM_AFTER_S = 120.0
_TOLD_AHEAD_S = 0.5


@dataclass(slots=True)
class Throttling:
    """One source as one worker sees it. Times are seconds on a monotonic clock.

    Some providers limit each grant or user, and say so in the words in which they limit a client. `limited` is the account that was
    asked to slow down last; `others_go`: another one was granted after the rest that followed.
    """

    rests: int = 0
    until: float = float("-inf")
    told_until: float = float("-inf")
    limited: AccountId | None = None
    others_go: bool = False

    def note_granted(self, account_id: AccountId, *, sent_at: float) -> None:
        """A call of this account was answered well. One that was sent before a rest was over says nothing of what follows it."""
        if account_id != self.limited and sent_at >= self.until:
            self.others_go = True

    def is_its_own(self, account_id: AccountId) -> bool:
        """Whether a limit without a time that the account runs into now is the account's alone: others went meanwhile."""
        return self.others_go and account_id == self.limited

    def slow_down(self, account_id: AccountId, now: float, *, sent_at: float) -> float | None:
        """How long to rest; None for the word of a call that was sent before the last rest was over: that was obeyed."""
        if sent_at < self.until:
            return None
        self.limited, self.others_go = account_id, False
        if now - self.until > _CALM_AFTER_S:
            self.rests = 0
        span: float = min(_FIRST_S * 2**self.rests, _LONGEST_S)
        self.rests = min(self.rests + 1, 10)
        self.until = now + span
        return span

    def rest(self, now: float, span_s: float) -> None:
        """The provider has named a time."""
        self.until = max(self.until, now + span_s)

    def to_tell(self, now: float) -> float | None:
        """For how long others are told to rest: a little longer than asked, so that not each of many answers is told anew. None: they know."""
        if self.until <= max(self.told_until, now):
            return None
        self.told_until = self.until + _TOLD_AHEAD_S
        return self.told_until - now
