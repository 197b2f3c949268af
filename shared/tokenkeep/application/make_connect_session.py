"""Make a connect session: check what is wanted, and give the token of the link that an end user is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.connect_sessions import hashed, new_token
from tokenkeep.application.property_changes import check_destinations
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.connect_session import SESSION_LIFE, ConnectSession, StoredState
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, SessionId, SourceId, format_id, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import check_account_properties
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.connect_form import brings_credentials
from tokenkeep.providers.connect_page import check_has_page


@dataclass(frozen=True, slots=True)
class WantedSession:
    """A session as the caller describes it. `account_id`: this account is to be reconnected, under its id."""

    source_id: SourceId
    account_id: AccountId | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    scopes: tuple[str, ...] | None = None
    return_url: str | None = None


@dataclass(frozen=True, slots=True)
class MakeConnectSession:
    """Stores a session; of its link's token only the hash, so the link can be shown only now."""

    catalogue: Catalogue

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        wanted: WantedSession,
        *,
        token_of: Callable[[SessionId], Secret] = lambda _: new_token(),
    ) -> tuple[ConnectSession, Secret]:
        """The session and its link's token.

        Raises:
            NotFound: There is no such source or account in this environment.
            InvalidInput: The source can't be connected to on a page, or something does not fit the account or the provider.
            NotAllowed: The account that is to be reconnected has credentials, with these properties they would go elsewhere, and
                the caller may not have them.
        """
        source = await work.sources.get(wanted.source_id, caller.environment, keep=True)
        if source is None:
            raise NotFound("source")
        account = await _checked_account(work, caller, wanted)
        self._check_source(source, wanted)
        self._check_destinations(caller, source, account, wanted)
        now = await work.accounts.now()
        session_id = SessionId(new_id())
        session = ConnectSession(
            id=session_id,
            environment=source.environment,
            source_id=source.id,
            account_id=wanted.account_id,
            created_by=caller.name,
            external_id=wanted.external_id,
            metadata=wanted.metadata or {},
            properties=wanted.properties or {},
            scopes=wanted.scopes,
            return_url=wanted.return_url,
            state=StoredState.OPEN,
            failure=None,
            created_at=now,
            expires_at=now + SESSION_LIFE,
        )
        token = token_of(session_id)
        await work.connect_sessions.add(session, hashed(token))
        await work.audit(AuditEntry(caller, "connect.session_create", format_id(IdKind.SESSION, session_id)))
        return session, token

    def _check_source(self, source: Source, wanted: WantedSession) -> None:
        provider = self.catalogue.get(source.provider)
        check_account_properties(provider, wanted.properties or {})
        check_has_page(provider, source)
        if wanted.scopes is not None and brings_credentials(provider):
            raise InvalidInput("scopes", "can't be asked for: these credentials have theirs already")

    def _check_destinations(
        self, caller: Caller, source: Source, account: AccountView | None, wanted: WantedSession
    ) -> None:
        """Properties are laid over the account's once its user has reconnected it: as much as a change of them."""
        if account is None or account.generation is None or not wanted.properties:
            return
        changed = {**account.properties, **wanted.properties}
        check_destinations(caller, self.catalogue.get(source.provider), source, account.properties, changed)


async def _checked_account(work: Work, caller: Caller, wanted: WantedSession) -> AccountView | None:
    if wanted.account_id is None:
        return None
    view = await work.accounts.view(wanted.account_id, caller.environment)
    if view is None:
        raise NotFound("account")
    if view.account.source_id != wanted.source_id:
        raise InvalidInput("account_id", "is not an account of this source")
    for field, value in (("external_id", wanted.external_id), ("metadata", wanted.metadata)):
        if value is not None:
            raise InvalidInput(field, "can't be given for an account that exists: it keeps its own")
    return view
