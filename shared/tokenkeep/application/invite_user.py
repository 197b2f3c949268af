"""Invite: what an end user is told before they press the button."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.conflicts import SessionEnded
from tokenkeep.domain.connect_session import ConnectSession
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.authorization_request import missing_in, missing_properties
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Property, Provider
from tokenkeep.providers.oauth1_rules import OAuth1Rules, oauth1_rules
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who asks for access to what. `missing` is what the user has to fill in; `properties` is what is known already.

    `owner` is whose the account is that is to be reconnected, where the provider has said so.
    """

    session: ConnectSession
    source: Source
    provider: Provider
    rules: OAuth2Rules | OAuth1Rules
    properties: Mapping[str, str]
    missing: tuple[Property, ...]
    owner: ExternalId | None

    @property
    def scopes(self) -> tuple[str, ...]:
        """What is asked for, but for the scopes that a provider wants in exchange for a refresh token."""
        return self.source.scopes if self.session.scopes is None else self.session.scopes


@dataclass(frozen=True, slots=True)
class InviteUser:
    """Reads the invitation that belongs to a link."""

    catalogue: Catalogue

    async def __call__(self, work: Work, link: Secret) -> Invitation:
        """The invitation; its session's row is locked until the transaction ends.

        Raises:
            NotFound: There is no such link.
            SessionEnded: Its time is over, or it has done its work.
        """
        session = await work.connect_sessions.by_link(hashed(link))
        if session is None:
            raise NotFound("connect link")
        now = await work.accounts.now()
        if not session.admits(now):
            raise SessionEnded(session.state_at(now).value)
        return await self.describe(work, session)

    async def describe(self, work: Work, session: ConnectSession) -> Invitation:
        """The invitation of a session that is known. Raises `NotFound` when its source or account is gone."""
        source = await work.sources.get(session.source_id, session.environment)
        if source is None:
            raise NotFound("source")
        owner, properties = None, dict(session.properties)
        if session.account_id is not None:
            view = await work.accounts.view(session.account_id, session.environment)
            if view is None:
                raise NotFound("account")
            owner, properties = view.account.owner, {**view.properties, **properties}
        provider = self.catalogue.get(source.provider)
        if source.auth_type is AuthType.OAUTH1:
            legs = oauth1_rules(provider, source.options)
            missing = missing_in(legs.templates, legs.placeholders, properties)
            return Invitation(session, source, provider, legs, properties, missing, owner)
        rules = effective_rules(provider, source.options)
        missing = missing_properties(rules, properties)
        return Invitation(session, source, provider, rules, properties, missing, owner)
