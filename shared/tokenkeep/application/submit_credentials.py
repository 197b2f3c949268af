"""Submit: the end user has filled in the form. What it says becomes an account, or an account's new credentials."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from tokenkeep.application.ask_credentials import AskCredentials, CredentialsAsked
from tokenkeep.application.connect_sessions import hashed
from tokenkeep.application.finish_connect import Connected, Persisting, TooLate
from tokenkeep.application.keep_connected import ConnectedBefore, Gained, KeepConnected
from tokenkeep.application.obtain_credentials import ObtainCredentials, Purpose
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.connect_session import ConnectFailure, ConnectSession, SessionState, StoredState
from tokenkeep.domain.errors import (
    CredentialsRejected,
    ExternalIdMismatch,
    InvalidInput,
    ProviderUnavailable,
    RevocationUnanswered,
)
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.connect_form import Filled, Slip, named_field, read_form


@dataclass(frozen=True, slots=True)
class FilledForm:
    """What a browser sent, by the names of the form's fields, and from where.

    `result` is what the caller's backend will know the browser by. It is the same whenever this browser sends the form.
    """

    given: Mapping[str, Secret]
    result: Secret
    address: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Slips:
    """Something does not look right: by field, what. Nobody was asked."""

    asked: CredentialsAsked
    slips: Mapping[str, Slip]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The credentials could not be stored. While the session lasts, others may be tried."""

    asked: CredentialsAsked
    failure: ConnectFailure


Submission = Connected | Slips | NotTaken | TooLate


@dataclass(frozen=True, slots=True)
class SubmitCredentials:
    """Checks what was filled in as `POST /v1/accounts` does, with no transaction open, and stores it with the session's end."""

    works: Works
    persist: Persisting
    ask: AskCredentials
    obtain: ObtainCredentials
    keep: KeepConnected

    async def __call__(self, link: Secret, filled: FilledForm) -> Submission | None:
        """What came of it; None where the source's users go to their provider.

        A form that was sent twice, for its button was pressed twice, takes the browser back to the caller all the same.

        Raises:
            NotFound: There is no such link, or what it leads to is gone.
            SessionEnded: Its time is over, or another browser has connected it.
        """
        async with self.works() as work:
            session = await work.connect_sessions.by_link(hashed(link))
            before = None if session is None else await _connected_before(work, session, filled.result)
            if before is not None:
                return before
            asked = await self.ask(work, link)
            if asked is None:
                return None
            said = read_form(asked.form, filled.given)
            if isinstance(said, Filled):
                await work.connect_sessions.reopen(asked.session.id)
        if not isinstance(said, Filled):
            return Slips(asked, said)
        outcome = await self._stored(asked, said, filled)
        if isinstance(outcome, ConnectFailure):
            async with self.works() as work:
                await work.connect_sessions.fail(asked.session.id, outcome)
            return NotTaken(asked, outcome)
        return outcome

    async def _stored(
        self, asked: CredentialsAsked, said: Filled, filled: FilledForm
    ) -> Connected | Slips | TooLate | ConnectFailure:
        try:
            return await self._connect(asked, said, filled)
        except CredentialsRejected:
            return ConnectFailure.CREDENTIALS_REJECTED
        except (ProviderUnavailable, RevocationUnanswered):
            return ConnectFailure.PROVIDER_UNAVAILABLE
        except ExternalIdMismatch:
            return ConnectFailure.IDENTITY_MISMATCH
        except AccountExists:
            return ConnectFailure.ACCOUNT_EXISTS
        except InvalidInput as fault:
            field = named_field(asked.form, fault.field)
            return ConnectFailure.MISCONFIGURED if field is None else Slips(asked, {field: Slip.MISFIT})

    async def _connect(
        self, asked: CredentialsAsked, said: Filled, filled: FilledForm
    ) -> Connected | TooLate | ConnectFailure:
        session, account = asked.session, asked.account
        purpose = Purpose(
            session.source_id,
            session.environment,
            {**asked.properties, **said.properties},
            expected=session.external_id if account is None else None,
            owner=None if account is None else account.owner,
        )
        obtained = await self.obtain(said.credentials, purpose)
        gained = Gained(
            caller=Caller(format_id(IdKind.SESSION, session.id), session.environment, frozenset(), filled.address),
            tokens=obtained.tokens,
            checked=obtained.checked,
            result=filled.result,
            correlation_id=filled.correlation_id,
        )
        whole = replace(session, properties={**session.properties, **said.properties})
        kept = await self.persist(self._keeping(whole, gained))
        match kept:
            case ConnectedBefore(session=ended):
                async with self.works() as work:
                    before = await _connected_before(work, ended, filled.result)
                return TooLate(SessionState.CONNECTED) if before is None else before
            case ConnectFailure():
                return kept
            case _:
                return Connected(session, asked.source, kept, filled.result)

    def _keeping(
        self, session: ConnectSession, gained: Gained
    ) -> Callable[[Work], Awaitable[AccountId | ConnectedBefore | ConnectFailure]]:
        return lambda work: self.keep(work, session, gained)


async def _connected_before(work: Work, session: ConnectSession, result: Secret) -> Connected | None:
    """The way back for the browser that has connected the session, until somebody has come with the result.

    Where it was not sent back anywhere, it can be told that it is done.
    """
    if session.state is not StoredState.CONNECTED or session.account_id is None or session.return_url is None:
        return None
    redemption = await work.connect_sessions.redemption(session.id, hashed(result))
    source = await work.sources.get(session.source_id, session.environment)
    if source is None or redemption.redeemed or not redemption.fits:
        return None
    return Connected(session, source, session.account_id, result)
