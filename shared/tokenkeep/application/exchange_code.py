"""Exchange an authorization code for a token set, at the token endpoint of the source it was given for."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.create_account import AuthorizationCode
from tokenkeep.application.ports import SourceConfigs, TokenEndpoints
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import ConnectFailed, CredentialsRejected, NotFound, ProviderUnavailable
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.discretion import without_secrets
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.token_request import authorization_code_request

_FIELD = "credentials.authorization_code"
_RETRY_S = 5.0
# A complete 4xx refuses the code, whatever its words; but for these, which ask to come again.
_COME_AGAIN = frozenset({408, 409, 421, 425})


@dataclass(frozen=True, slots=True)
class ExchangeCode:
    """One request, sent once, within one deadline that includes the connecting. No transaction is open meanwhile.

    A fresh connection is used: a code works once, so a request that dies on a stale one could not be repeated.
    """

    sources: SourceConfigs
    clients: SourceClients
    catalogue: Catalogue
    endpoints: TokenEndpoints
    clocks: Clocks
    now: Callable[[], Awaitable[datetime]]
    deadline: timedelta

    async def __call__(
        self, source_id: SourceId, environment: str, code: AuthorizationCode, properties: Mapping[str, Any]
    ) -> TokenSet:
        """The token set that the provider gives for the code.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property that the provider's address needs is missing or wrong.
            CredentialsRejected: The provider refuses the code, or the source's client.
            ProviderUnavailable: The provider can't be had.
        """
        source = (await self.sources({source_id})).get(source_id)
        if source is None or source.environment != environment:
            raise NotFound("source")
        rules = effective_rules(self.catalogue.get(source.provider), source.options)
        client = self.clients(source, rules, properties)
        request = authorization_code_request(
            rules,
            client=client,
            code=code.code,
            redirect_uri=code.redirect_uri,
            code_verifier=code.code_verifier,
            properties=properties,
        )
        sent_at = await self.now()
        try:
            answer = await self._answer(request)
        except ConnectFailed as failure:
            raise ProviderUnavailable(failure.reason, retry_after=_RETRY_S, maybe_used=False) from None
        verdict = classify(answer, rules, sent_at=sent_at, now=sent_at)
        return _granted(without_secrets(verdict, client.sent_secret, code.code, code.code_verifier))

    async def _answer(self, request: TokenRequest) -> Answer | NoAnswer:
        span = self.deadline.total_seconds()
        deadline = self.clocks.loop_time() + span
        async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
            return await connection.exchange(request, deadline=deadline, send_before=self.clocks.boottime() + span)


def _granted(verdict: Verdict) -> TokenSet:
    match verdict:
        case Granted(tokens=tokens):
            return tokens
        case Revoked(code=code):
            raise CredentialsRejected(_FIELD, f"the provider refuses the authorization code: {code}")
        case Misconfigured(reason=FailureReason.INVALID_CLIENT, code=code):
            raise CredentialsRejected(_FIELD, f"the provider refuses the source's client: {code or 'invalid_client'}")
        case Misconfigured(code=code):
            raise CredentialsRejected(_FIELD, f"the provider refuses the request: {code or 'invalid_request'}")
        case RateLimited(retry_after=asked):
            wait_s = _RETRY_S if asked is None else asked.total_seconds()
            raise ProviderUnavailable(FailureReason.RATE_LIMITED, retry_after=wait_s, maybe_used=False)
        case Unavailable(reason=FailureReason.PROVIDER_4XX, http_status=status, code=code) if status not in _COME_AGAIN:
            raise CredentialsRejected(_FIELD, f"the provider refuses the authorization code: {code or status}")
        case Unavailable(reason=reason, retry_after=asked, maybe_spent=maybe_used):
            wait_s = _RETRY_S if asked is None else asked.total_seconds()
            raise ProviderUnavailable(reason, retry_after=wait_s, maybe_used=maybe_used)
        case NotSent(reason=reason):
            raise ProviderUnavailable(reason, retry_after=_RETRY_S, maybe_used=False)
        case _:
            assert_never(verdict)
