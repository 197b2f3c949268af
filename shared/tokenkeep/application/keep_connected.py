"""Keep what a connect session has brought: a new account, or new credentials of the one that is to be reconnected."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.create_account import CreateAccount, NewAccount
from tokenkeep.application.keep_credentials import Stored
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.connect_link import may_reconnect
from tokenkeep.domain.connect_session import (
    CONNECT_LINK,
    ConnectFailure,
    ConnectSession,
    StoredState,
    refuse_identity,
)
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verification import Checked


@dataclass(frozen=True, slots=True)
class Gained:
    """What is to be stored: by whom, which credentials, what the provider says of them, and what the caller's backend will know it by."""

    caller: Caller
    tokens: Stored
    checked: Checked
    result: Secret
    correlation_id: str


@dataclass(frozen=True, slots=True)
class ConnectedBefore:
    """Another request of the session's was faster. `session` is as that has left it."""

    session: ConnectSession


@dataclass(frozen=True, slots=True)
class KeepConnected:
    """Stores it in one transaction with the session's end, so that a session connects once."""

    create: CreateAccount
    replace: ReplaceCredentials

    async def __call__(
        self, work: Work, session: ConnectSession, gained: Gained
    ) -> AccountId | ConnectedBefore | ConnectFailure:
        """The account's id, or why it is none. `session` holds all properties that are known.

        Raises:
            NotFound: The account or the source is gone.
            InvalidInput: The provider's requests can't be made with the credentials.
            ExternalIdMismatch: They are another account's of the provider's than the one that is expected.
            AccountExists: Another account of the source has them, or their verified external id.
        """
        reconnected = session.account_id
        if reconnected is not None:
            # The account is locked before its session, as whoever deletes it does.
            full = await work.full_accounts.lock(reconnected, session.environment)
            if full is None:
                raise NotFound("account")
            refusal = _refuse(full.account, session, gained.checked.told)
            if refusal is not None:
                return refusal
        locked = await work.connect_sessions.lock(session.id)
        if locked is None:
            raise NotFound("connect session")
        if locked.state is StoredState.CONNECTED:
            return ConnectedBefore(locked)
        account_id = await self._keep(work, session, gained)
        await work.connect_sessions.finish(session.id, account_id, hashed(gained.result))
        return account_id

    async def _keep(self, work: Work, session: ConnectSession, gained: Gained) -> AccountId:
        tokens, checked, correlation_id = gained.tokens, gained.checked, gained.correlation_id
        if session.account_id is None:
            wanted = NewAccount(session.source_id, None, session.external_id, session.metadata, session.properties)
            return await self.create(
                work, gained.caller, wanted, tokens=tokens, correlation_id=correlation_id, checked=checked
            )
        await work.accounts.add_properties(session.account_id, session.properties)
        await self.replace(
            work,
            gained.caller,
            session.account_id,
            tokens=tokens,
            correlation_id=correlation_id,
            checked=checked,
        )
        return session.account_id


def _refuse(account: Account, session: ConnectSession, told: Sequence[ExternalId]) -> ConnectFailure | None:
    if session.created_by == CONNECT_LINK and not may_reconnect(account):
        return ConnectFailure.ACCOUNT_DISABLED
    return refuse_identity(account, told)
