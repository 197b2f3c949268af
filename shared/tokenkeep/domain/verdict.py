"""What a token endpoint's answer means: a closed union that `providers.classify` returns and `settle` consumes."""

from dataclasses import dataclass
from datetime import timedelta

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.credential import TokenSet


@dataclass(frozen=True, slots=True)
class Granted:
    """The provider gave a usable token set."""

    tokens: TokenSet
    http_status: int = 200


@dataclass(frozen=True, slots=True)
class Revoked:
    """The provider said in so many words that the grant is dead, or that the account's own client is none of its clients."""

    code: str
    detail: str | None
    http_status: int | None
    reason: FailureReason = FailureReason.INVALID_GRANT


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """Our client or our request is wrong (RFC 6749, section 5.2): a matter of the source, never of the account."""

    reason: FailureReason
    code: str | None
    http_status: int | None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The provider asks us to slow down. It did not process the request."""

    retry_after: timedelta | None
    http_status: int | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The provider could not be had, or its answer says nothing about the grant.

    `maybe_spent`: bytes of the request had left and no complete, parseable refusal came back, so the refresh token may
    have been used up at the provider's side.
    """

    reason: FailureReason
    maybe_spent: bool
    http_status: int | None = None
    code: str | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left us: no connection, no time, no key. The refresh token is untouched."""

    reason: FailureReason

    @property
    def is_of_the_network(self) -> bool:
        """Whether the endpoint could not be reached. Any other reason is one of ours, and says nothing of it."""
        return self.reason in {FailureReason.NETWORK_ERROR, FailureReason.TIMEOUT}


Verdict = Granted | Revoked | Misconfigured | RateLimited | Unavailable | NotSent


def concerning_the_account(verdict: Verdict) -> Verdict:
    """What a verdict means for an account that proves itself with a client of its own.

    That its client is refused is a word about the account: nobody else uses that client. That its request is wrong may lie in
    the source's options, so it stays a matter for somebody to mend.
    """
    if isinstance(verdict, Misconfigured) and verdict.reason is FailureReason.INVALID_CLIENT:
        return Revoked(verdict.code or verdict.reason.value, None, verdict.http_status, reason=verdict.reason)
    return verdict
