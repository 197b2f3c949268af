"""Exchange an authorization code for a token set, at the token endpoint of the source it was given for."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.create_account import AuthorizationCode
from tokenkeep.application.first_answers import Asked, AskOnce, granted
from tokenkeep.application.ports import SourceConfigs, TokenEndpoints
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import SourceId
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.discretion import without_secrets
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.token_request import authorization_code_request
from tokenkeep.providers.told_identity import told_identity

_CODE = Asked("credentials.authorization_code", "the authorization code", once=True)


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
        answer = await AskOnce(self.endpoints, self.clocks, self.deadline)(request)
        verdict = classify(answer, rules, sent_at=sent_at, now=sent_at)
        tokens = granted(without_secrets(verdict, client.sent_secret, code.code, code.code_verifier), _CODE)
        assert isinstance(answer, Answer)  # noqa: S101 - it has granted something
        asked_for = source.scopes if tokens.scopes is None else tokens.scopes
        told = told_identity(answer, rules, url=request.url, client_id=client.id, scopes=asked_for)
        return replace(tokens, external_id=None if told is None or _shows(told.value, tokens) else told)


def _shows(told: str, tokens: TokenSet) -> bool:
    """Whether what stands where an id should be is a token; a path of somebody's own may lead anywhere."""
    return any(it.reveal() in told for it in (tokens.access_token, tokens.refresh_token) if it is not None)
