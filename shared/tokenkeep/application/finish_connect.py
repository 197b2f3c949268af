"""Finish: the end user is back from the provider. Their code becomes an account, or an account's new grant."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar

from tokenkeep.application.check_credentials import CheckCredentials
from tokenkeep.application.connect_sessions import (
    VERIFIER,
    VERIFIER_VERSION,
    BegunSession,
    hashed,
    new_token,
)
from tokenkeep.application.create_account import AuthorizationCode, CodeExchange
from tokenkeep.application.discard_grant import DiscardGrant
from tokenkeep.application.finish_legs import FinishLegs, LegsAnswer
from tokenkeep.application.invite_user import Invitation, InviteUser
from tokenkeep.application.keep_connected import ConnectedBefore, Gained, KeepConnected
from tokenkeep.application.obtain_credentials import checked_by, in_hand, is_owner_untold
from tokenkeep.application.ports import Vault
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.connect_session import ConnectFailure, ConnectSession, SessionState, failure_of
from tokenkeep.domain.credential import Held, TokenSet
from tokenkeep.domain.errors import (
    CredentialsRejected,
    ExternalIdMismatch,
    InvalidInput,
    NotFound,
    ProviderUnavailable,
    RevocationUnanswered,
)
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.domain.verification import Checked, Rejected
from tokenkeep.providers.authorization_request import is_from_issuer
from tokenkeep.providers.oauth1_rules import OAuth1Rules

Stored = TypeVar("Stored")


class Persisting(Protocol):
    """Stores what a provider gave and will not give twice: one transaction, tried again while the database stumbles."""

    async def __call__(self, store: Callable[[Work], Awaitable[Stored]]) -> Stored: ...


@dataclass(frozen=True, slots=True)
class Landing:
    """What a browser brought back from a provider (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207).

    `browsers` are the secrets that it holds: one for each session that was begun in it.
    """

    state: Secret
    browsers: Collection[Secret]
    code: Secret | None
    error: str | None
    issuer: str | None
    address: str | None
    legs: LegsAnswer = field(default_factory=LegsAnswer)


@dataclass(frozen=True, slots=True)
class Connected:
    """The account, and the result by which the caller's backend knows that it was this session."""

    session: ConnectSession
    source: Source
    account_id: AccountId
    result: Secret


@dataclass(frozen=True, slots=True)
class NotConnected:
    """It did not work out; the session can be tried again, in the browser that knows `browser`."""

    session: ConnectSession
    source: Source | None
    failure: ConnectFailure
    browser: Secret


@dataclass(frozen=True, slots=True)
class UnknownState:
    """No session waits for this state: it was used, outdated by a later one, or never ours."""


@dataclass(frozen=True, slots=True)
class OtherBrowser:
    """The session was begun in another browser. It is left as it is."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """The session's time is over, or another tab has ended it (`state`)."""

    state: SessionState


Finish = Connected | NotConnected | UnknownState | OtherBrowser | TooLate


@dataclass(frozen=True, slots=True)
class FinishConnect:
    """Takes the state, once; then asks the provider, with no transaction open; then stores, in one transaction."""

    works: Works
    persist: Persisting
    invite: InviteUser
    exchange: CodeExchange
    finish_legs: FinishLegs
    check: CheckCredentials
    discard: DiscardGrant
    keep: KeepConnected
    vault: Vault
    redirect_uri: str

    async def __call__(self, landing: Landing, *, correlation_id: str) -> Finish:
        """What came of it. Only what is nobody's foreseeable fault is raised."""
        taken = await self._take(landing)
        if not isinstance(taken, tuple):
            return taken
        begun, browser = taken
        session = begun.session
        source: Source | None = None
        try:
            async with self.works() as work:
                invitation = await self.invite.describe(work, session)
            source = invitation.source
            outcome = await self._connect(begun, invitation, landing, correlation_id)
        except CredentialsRejected:
            outcome = ConnectFailure.CREDENTIALS_REJECTED
        except (ProviderUnavailable, RevocationUnanswered):
            outcome = ConnectFailure.PROVIDER_UNAVAILABLE
        except AccountExists:
            outcome = ConnectFailure.ACCOUNT_EXISTS
        except (InvalidInput, NotFound):
            outcome = ConnectFailure.MISCONFIGURED
        if isinstance(outcome, ConnectFailure):
            async with self.works() as work:
                await work.connect_sessions.fail(session.id, outcome)
            return NotConnected(session, source, outcome, browser)
        return outcome

    async def _take(self, landing: Landing) -> tuple[BegunSession, Secret] | UnknownState | OtherBrowser | TooLate:
        """The session that waits for this state in this browser. From now on it waits no more."""
        async with self.works() as work:
            begun = await work.connect_sessions.by_state(hashed(landing.state))
            if begun is None:
                return UnknownState()
            browser = next((one for one in landing.browsers if hashed(one) == begun.browser_hash), None)
            if browser is None:
                return OtherBrowser()
            if not begun.session.admits(begun.now):
                return TooLate(begun.session.state_at(begun.now))
            await work.connect_sessions.take(begun.session.id)
        return begun, browser

    async def _connect(
        self, begun: BegunSession, invitation: Invitation, landing: Landing, correlation_id: str
    ) -> Connected | TooLate | ConnectFailure:
        session, source = begun.session, invitation.source
        tokens = await self._granted(begun, invitation, landing)
        if isinstance(tokens, ConnectFailure):
            return tokens
        checked = await self._checked(source, tokens, invitation, now=begun.now)
        gained = Gained(
            caller=Caller(format_id(IdKind.SESSION, session.id), session.environment, frozenset(), landing.address),
            tokens=tokens,
            checked=checked,
            result=new_token(),
            correlation_id=correlation_id,
        )
        try:
            stored = await self.persist(lambda work: self.keep(work, session, gained))
        except ExternalIdMismatch:
            stored = ConnectFailure.IDENTITY_MISMATCH
        if stored is ConnectFailure.IDENTITY_MISMATCH and isinstance(tokens, TokenSet):
            await self.discard(source, tokens, invitation.properties, external_id=checked.external_id)
        if isinstance(stored, ConnectedBefore):
            return TooLate(SessionState.CONNECTED)
        if isinstance(stored, ConnectFailure):
            return stored
        return Connected(session, source, stored, gained.result)

    async def _granted(self, begun: BegunSession, invitation: Invitation, landing: Landing) -> Held | ConnectFailure:
        """What the provider gives for what the browser has brought."""
        if isinstance(invitation.rules, OAuth1Rules):
            return await self.finish_legs(begun, invitation, landing.legs, error=landing.error)
        session, source = begun.session, invitation.source
        if not is_from_issuer(invitation.provider, source.options, landing.issuer):
            return ConnectFailure.ISSUER_MISMATCH
        if landing.error is not None or landing.code is None:
            return failure_of(landing.error)
        code = AuthorizationCode(landing.code, self.redirect_uri, self._verifier(begun))
        tokens = await self.exchange(source.id, session.environment, code, invitation.properties)
        if tokens.scopes is None and session.scopes is not None:
            # An answer that names no scope grants what was asked for (RFC 6749, section 5.1).
            return replace(tokens, scopes=session.scopes)
        return tokens

    async def _checked(self, source: Source, tokens: Held, invitation: Invitation, *, now: datetime) -> Checked:
        """What the provider says of the tokens that it has just given. Raises `CredentialsRejected` if it takes them not."""
        held = in_hand(tokens, source, now=now, fresh=True)
        finding = None
        if held is not None:
            owner, insist = invitation.owner, is_owner_untold(invitation.owner, tokens)
            finding = await self.check(source, held, invitation.properties, now=now, known=owner, insist=insist)
        if isinstance(finding, Rejected):
            raise CredentialsRejected("credentials", f"the provider does not take them: {finding.code}")
        return checked_by(finding, tokens)

    def _verifier(self, begun: BegunSession) -> Secret | None:
        if begun.verifier is None:
            return None
        sealed, owner = begun.verifier, begun.session.id
        return Secret(self.vault.open(owner, sealed.key, VERIFIER, VERIFIER_VERSION, sealed.ciphertext).decode())
