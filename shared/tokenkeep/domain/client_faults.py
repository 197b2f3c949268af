"""Runs of answers that blame the client: after a few of them the source is at fault, not its accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

_FEW_REFUSED = 3
_FEW_UNCLEAR = 5
_OF_ONE = 6
"""How often one account alone must be told that the client is wrong: a source may have no other."""

_ODD_PER_WITNESS = 4
"""Where so many accounts are refused for reasons of their own, one more must agree: in a run there may be more of their kind."""

_MOST_ODD = 400

Accounts = Mapping[AccountId, int]
"""Accounts, each with the generation of the credentials that it presented."""


@dataclass(frozen=True, slots=True)
class ClientFaults:
    """The latest run with one client, as one worker saw it. Nothing that a provider granted, or refused to a known client, lies in it.

    `refused`: accounts of which the provider said that our client or our request is wrong. `unclear`: accounts that got a
    4xx in which nothing can be read, as some servers answer a wrong client. `logins`: how often the client itself was refused.

    Some answers blame the client and concern one tenant, whose administrator has switched the app off. `odd`: accounts that
    were refused with a client which was granted to others after that. They say nothing of the client until they are granted
    themselves, which their generation shows whoever did it. `accused`: accounts of runs that have paused the source.
    """

    refused: Accounts = field(default_factory=dict)
    unclear: Accounts = field(default_factory=dict)
    logins: int = 0
    reason: FailureReason | None = None
    odd: Accounts = field(default_factory=dict)
    accused: Accounts = field(default_factory=dict)

    @property
    def voices(self) -> Accounts:
        """Whoever speaks against the client in this run."""
        return {**self.unclear, **self.refused}

    @property
    def blame_the_source(self) -> bool:
        """Whether the run is long enough that sending more accounts after it would be wrong."""
        more = len(self.odd) // _ODD_PER_WITNESS
        if len(self.refused) >= _FEW_REFUSED + more or self.logins >= _OF_ONE + more:
            return True
        return len(self.voices) >= _FEW_UNCLEAR + more

    @property
    def repeats_itself(self) -> bool:
        """Whether it rests on an account that has accused the client before, with the same credentials.

        If the source has gone on since, somebody else was granted.
        """
        return any(self.accused.get(one) == generation for one, generation in self.voices.items())

    @property
    def ended(self) -> "ClientFaults":
        """What is left to know when the run is over."""
        return ClientFaults(odd=self.odd, accused=self.accused)

    def is_odd(self, account_id: AccountId, generation: int) -> bool:
        """Whether a refusal of the account with these credentials is known to be its own."""
        return self.odd.get(account_id) == generation

    def with_accused(self, run: "ClientFaults") -> "ClientFaults":
        """The client stands accused by this run."""
        return replace(self, accused=_latest({**self.accused, **run.voices}))

    @property
    def acquitted(self) -> "ClientFaults":
        """The source goes on though it was paused once, with the same client: whoever accused the client is odd."""
        return ClientFaults(odd=_latest({**self.odd, **self.accused}))

    def cleared(self, by: AccountId) -> "ClientFaults":
        """This account was granted: it is a witness from now on, and whoever was refused before is odd."""
        if not (self.refused or self.unclear or self.accused or by in self.odd):
            return self
        odd = {**self.odd, **self.accused, **self.voices}
        return ClientFaults(odd=_latest({one: generation for one, generation in odd.items() if one != by}))


def after(run: ClientFaults, account_id: AccountId, verdict: Verdict, *, generation: int) -> ClientFaults:
    """The run with one more verdict; empty when the verdict shows that the client is taken."""
    match verdict:
        case Granted():
            return run.cleared(by=account_id)
        case Revoked():
            return run.ended
        case Misconfigured() | Unavailable() if run.is_odd(account_id, generation):
            return run
        case Misconfigured(reason=reason):
            logins = run.logins + (reason is FailureReason.INVALID_CLIENT)
            # The gravest word names the run.
            told = reason if run.reason is not FailureReason.INVALID_CLIENT else run.reason
            return replace(run, refused={**run.refused, account_id: generation}, logins=logins, reason=told)
        case Unavailable(reason=FailureReason.PROVIDER_4XX, maybe_spent=False):
            unclear = {**run.unclear, account_id: generation}
            return replace(run, unclear=unclear, reason=run.reason or FailureReason.PROVIDER_4XX)
        case Unavailable() | RateLimited() | NotSent():
            return run
        case _:
            assert_never(verdict)


def _latest(accounts: Accounts) -> Accounts:
    """As many as are remembered; the longest known go first."""
    return dict(list(accounts.items())[-_MOST_ODD:])
