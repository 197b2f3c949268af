"""Start an authorisation whose pages are the caller's: he sends the user to the provider, and gets them back himself."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.create_account import AuthorizationCode, TemporaryCredentials
from tokenkeep.application.linking import LinkKey
from tokenkeep.application.oauth1_legs import OAuth1Legs
from tokenkeep.application.work import Works
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.derived_verifier import derived_verifier
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import IdKind, SourceId, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import check_account_properties
from tokenkeep.providers.authorization_request import authorization_url
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.connect_page import check_leads_users
from tokenkeep.providers.oauth1_rules import oauth1_rules, owner_authorization_url
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import Pkce


@dataclass(frozen=True, slots=True)
class StartAuthorization:
    """Nothing is kept: what the end of it needs, the caller brings back, or it is derived."""

    works: Works
    catalogue: Catalogue
    legs: OAuth1Legs
    key: LinkKey

    async def oauth2(
        self, caller: Caller, source: Source, *, callback_uri: str, state: Secret, properties: Mapping[str, str]
    ) -> str:
        """Where the user is to be sent. PKCE takes part only where the provider requires it.

        Raises:
            InvalidInput: The source can't be authorised in a browser, or a property is unknown, wrong or missing.
        """
        self._check(source, properties)
        rules = effective_rules(self.catalogue.get(source.provider), source.options)
        url = authorization_url(
            rules,
            client_id=source.client_id or "",
            redirect_uri=callback_uri,
            scopes=source.scopes,
            state=state,
            code_verifier=await self._verifier(source, callback_uri),
            properties=properties,
        )
        await self._note(caller, source, "oauth2.authorize")
        return url

    async def oauth1(
        self, caller: Caller, source: Source, *, callback_uri: str, properties: Mapping[str, str]
    ) -> tuple[str, TemporaryCredentials]:
        """Where the user is to be sent, and the temporary credentials that the caller brings back.

        Raises:
            InvalidInput: The source can't be authorised in a browser, or a property is unknown, wrong or missing; or the provider
                does not confirm the callback.
            CredentialsRejected: The provider refuses the consumer or the callback.
            ProviderUnavailable: The provider can't be had.
        """
        self._check(source, properties)
        rules = oauth1_rules(self.catalogue.get(source.provider), source.options)
        temporary = await self.legs.temporary(source.id, source.environment, Secret(callback_uri), properties)
        url = owner_authorization_url(
            rules,
            client_id=source.client_id or "",
            token=temporary.token,
            scopes=source.scopes,
            properties=properties,
        )
        await self._note(caller, source, "oauth1.authorize")
        return url, temporary

    async def code(self, source: Source, code: Secret, callback_uri: str) -> AuthorizationCode:
        """A code that came back, with what it takes to exchange it. Raises `InvalidInput` where no user could be sent off."""
        check_leads_users(self.catalogue.get(source.provider), source)
        return AuthorizationCode(code, callback_uri, await self._verifier(source, callback_uri))

    def _check(self, source: Source, properties: Mapping[str, str]) -> None:
        provider = self.catalogue.get(source.provider)
        check_leads_users(provider, source)
        if not source.client_id:
            raise InvalidInput("source_id", "the source has no client_id")
        check_account_properties(provider, properties)

    async def _verifier(self, source: Source, callback_uri: str) -> Secret | None:
        if source.auth_type is not AuthType.OAUTH2:
            return None
        if effective_rules(self.catalogue.get(source.provider), source.options).pkce is not Pkce.REQUIRED:
            return None
        return derived_verifier(await self.key(), source.id, callback_uri)

    async def _note(self, caller: Caller, source: Source, action: str) -> None:
        source_id: SourceId = source.id
        async with self.works() as work:
            await work.audit(AuditEntry(caller, action, format_id(IdKind.SOURCE, source_id)))
