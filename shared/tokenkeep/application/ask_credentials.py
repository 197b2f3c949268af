"""Ask: what an end user is to fill in, where they bring their credentials themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account
from tokenkeep.domain.conflicts import SessionEnded
from tokenkeep.domain.connect_session import ConnectSession
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.connect_form import ConnectForm, brings_credentials, check_has_form, connect_form
from tokenkeep.providers.entry import Provider


@dataclass(frozen=True, slots=True)
class CredentialsAsked:
    """Who asks for which credentials. `properties` is what is known already, `account` the one that is to be reconnected."""

    session: ConnectSession
    source: Source
    provider: Provider
    account: Account | None
    properties: Mapping[str, str]
    form: ConnectForm


@dataclass(frozen=True, slots=True)
class AskCredentials:
    """Reads the form that belongs to a link, and gives who has it before them the time to fill it in."""

    catalogue: Catalogue

    async def __call__(self, work: Work, link: Secret) -> CredentialsAsked | None:
        """The form; its session's row is locked until the transaction ends. None: the source's users go to their provider.

        Raises:
            NotFound: There is no such link, or its source or account is gone, or has no form any more.
            SessionEnded: Its time is over, or it has done its work.
        """
        session = await work.connect_sessions.by_link(hashed(link))
        if session is None:
            raise NotFound("connect link")
        source = await work.sources.get(session.source_id, session.environment)
        if source is None:
            raise NotFound("source")
        provider = self.catalogue.get(source.provider)
        if not brings_credentials(provider):
            return None
        now = await work.accounts.now()
        if not session.admits(now):
            raise SessionEnded(session.state_at(now).value)
        # A key takes a while to be found.
        await work.connect_sessions.prolong(session.id, session.expiry_once_begun(now))
        return await self._described(work, session, source, provider)

    async def _described(
        self, work: Work, session: ConnectSession, source: Source, provider: Provider
    ) -> CredentialsAsked:
        try:
            check_has_form(provider, source_has_client=source.client_id is not None)
        except InvalidInput:
            # The source was given a client since the session was made.
            raise NotFound("connect link") from None
        account, properties = None, dict(session.properties)
        if session.account_id is not None:
            view = await work.accounts.view(session.account_id, session.environment)
            if view is None:
                raise NotFound("account")
            account, properties = view.account, {**view.properties, **properties}
        form = connect_form(provider, source.options, properties)
        return CredentialsAsked(session, source, provider, account, properties, form)
