"""Runs of answers that blame the client: after a few of them the source is at fault, not its accounts."""

from dataclasses import dataclass, replace
from typing import assert_never

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

_FEW_REFUSED = 3
_FEW_UNCLEAR = 5
_OF_ONE = 6
"""How often one account alone must be told that the client is wrong: a source may have no other."""


@dataclass(frozen=True, slots=True)
class ClientFaults:
    """The latest run, as one worker saw it. Nothing that a provider granted, or refused to a known client, lies in it.

    `refused`: accounts of which the provider said that our client or our request is wrong. `unclear`: accounts that got a
    4xx in which nothing can be read, as some servers answer a wrong client. `logins`: how often the client itself was refused.
    """

    refused: frozenset[AccountId] = frozenset()
    unclear: frozenset[AccountId] = frozenset()
    logins: int = 0
    reason: FailureReason | None = None

    @property
    def blame_the_source(self) -> bool:
        """Whether the run is long enough that sending more accounts after it would be wrong."""
        if len(self.refused) >= _FEW_REFUSED or self.logins >= _OF_ONE:
            return True
        return len(self.refused | self.unclear) >= _FEW_UNCLEAR


def after(run: ClientFaults, account_id: AccountId, verdict: Verdict) -> ClientFaults:
    """The run with one more verdict; empty when the verdict shows that the client is taken."""
    match verdict:
        case Granted() | Revoked():
            return ClientFaults()
        case Misconfigured(reason=reason):
            logins = run.logins + (reason is FailureReason.INVALID_CLIENT)
            # The gravest word names the run.
            told = reason if run.reason is not FailureReason.INVALID_CLIENT else run.reason
            return replace(run, refused=run.refused | {account_id}, logins=logins, reason=told)
        case Unavailable(reason=FailureReason.PROVIDER_4XX, maybe_spent=False):
            return replace(run, unclear=run.unclear | {account_id}, reason=run.reason or FailureReason.PROVIDER_4XX)
        case Unavailable() | RateLimited() | NotSent():
            return run
        case _:
            assert_never(verdict)
