"""The first answer of a token endpoint, which a caller waits for: asked for once, and told in his terms."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import TokenEndpoints
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import ConnectFailed, CredentialsRejected, ProviderUnavailable
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest

RETRY_S: Final = 5.0
"""When to come again, in seconds, where the provider does not say."""

# A complete 4xx refuses what was asked for, whatever its words; but for these, which ask to come again.
_COME_AGAIN = frozenset({408, 409, 421, 425})


@dataclass(frozen=True, slots=True)
class AskOnce:
    """One request, sent once, within one deadline that includes the connecting, over a fresh connection."""

    endpoints: TokenEndpoints
    clocks: Clocks
    deadline: timedelta

    async def __call__(self, request: TokenRequest) -> Answer | NoAnswer:
        """What came back. Raises `ProviderUnavailable` when no connection can be had."""
        span = self.deadline.total_seconds()
        deadline = self.clocks.loop_time() + span
        try:
            async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
                return await connection.exchange(request, deadline=deadline, send_before=self.clocks.boottime() + span)
        except ConnectFailed as failure:
            raise ProviderUnavailable(failure.reason, retry_after=RETRY_S, maybe_used=False) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """How complaints name what was asked with: the field that holds it, what it is, and whether it works only once."""

    field: str
    name: str
    once: bool


def granted(verdict: Verdict, asked: Asked) -> TokenSet:
    """The token set that was granted.

    Raises:
        CredentialsRejected: The provider refuses what was asked with, or the source's client.
        ProviderUnavailable: It says nothing about that.
    """
    match verdict:
        case Granted(tokens=tokens):
            return tokens
        case Revoked(code=code):
            raise CredentialsRejected(asked.field, f"the provider refuses {asked.name}: {code}")
        case Misconfigured(reason=FailureReason.INVALID_CLIENT, code=code):
            raise CredentialsRejected(
                asked.field, f"the provider refuses the source's client: {code or 'invalid_client'}"
            )
        case Misconfigured(code=code):
            raise CredentialsRejected(asked.field, f"the provider refuses the request: {code or 'invalid_request'}")
        case RateLimited(retry_after=wait):
            wait_s = RETRY_S if wait is None else wait.total_seconds()
            raise ProviderUnavailable(FailureReason.RATE_LIMITED, retry_after=wait_s, maybe_used=False)
        case Unavailable(reason=FailureReason.PROVIDER_4XX, http_status=status, code=code) if status not in _COME_AGAIN:
            raise CredentialsRejected(asked.field, f"the provider refuses {asked.name}: {code or status}")
        case Unavailable(reason=reason, retry_after=wait, maybe_spent=maybe_used):
            wait_s = RETRY_S if wait is None else wait.total_seconds()
            raise ProviderUnavailable(reason, retry_after=wait_s, maybe_used=maybe_used and asked.once)
        case NotSent(reason=reason):
            raise ProviderUnavailable(reason, retry_after=RETRY_S, maybe_used=False)
        case _:
            assert_never(verdict)
