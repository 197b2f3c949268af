"""A connect session: the short while in which one end user connects an account, or reconnects one that exists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tokenkeep.domain.account import Account
from tokenkeep.domain.external_id import ExternalId, Likeness, likeness
from tokenkeep.domain.ids import AccountId, SessionId, SourceId

SESSION_LIFE: Final = timedelta(minutes=10)
LONGEST_LIFE: Final = timedelta(minutes=30)
"""Whoever begins has `SESSION_LIFE` from then on to come back from the provider, but no session lives longer than this."""

CONNECT_LINK: Final = "connect-link"
"""Who made a session that a connect link has opened; all others were made by an API key."""


class StoredState(StrEnum):
    """How far a session has come."""

    OPEN = "open"
    CONNECTED = "connected"
    FAILED = "failed"


class SessionState(StrEnum):
    """As it is shown. A failed session can be tried again until its time is over."""

    OPEN = "open"
    CONNECTED = "connected"
    FAILED = "failed"
    EXPIRED = "expired"


class ConnectFailure(StrEnum):
    """Why a session did not end with a connected account."""

    ACCESS_DENIED = "access_denied"
    """The end user declined."""
    PROVIDER_ERROR = "provider_error"
    """The provider sent them back with another error, or without a code."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The answer names another issuer than the source's, or none where the server always names one (RFC 9207)."""
    TOKEN_MISMATCH = "token_mismatch"  # noqa: S105 - the name of a failure
    """The answer is about other temporary credentials than the session's (OAuth 1.0a; RFC 5849, section 2.2)."""
    CREDENTIALS_REJECTED = "credentials_rejected"
    """The provider takes neither the code nor the client."""
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    IDENTITY_MISMATCH = "identity_mismatch"
    """The account that was to be reconnected belongs to somebody else."""
    IDENTITY_UNKNOWN = "identity_unknown"
    """Whose the grant is could not be told, and the account that was to be reconnected is somebody's."""
    ACCOUNT_EXISTS = "account_exists"
    """Another account of the source holds this grant, or this verified external id."""
    ACCOUNT_DISABLED = "account_disabled"
    """An operator has disabled the account, and a connect link does not outrank him."""
    MISCONFIGURED = "misconfigured"
    """The provider does not take what it was asked (a scope, the client), or nothing could be asked of it at all."""


@dataclass(frozen=True, slots=True)
class ConnectSession:
    """A session, secrets aside.

    `account_id`: the account that is to be reconnected, or the one that came of it. `scopes` None: the source's.
    """

    id: SessionId
    environment: str
    source_id: SourceId
    account_id: AccountId | None
    created_by: str
    external_id: str | None
    metadata: Mapping[str, str]
    properties: Mapping[str, str]
    scopes: tuple[str, ...] | None
    return_url: str | None
    state: StoredState
    failure: ConnectFailure | None
    created_at: datetime
    expires_at: datetime

    @property
    def reconnects(self) -> AccountId | None:
        """The account that is to be reconnected; None when a new one is to come of it."""
        return None if self.state is StoredState.CONNECTED else self.account_id

    def state_at(self, now: datetime) -> SessionState:
        """How it is shown at a moment."""
        if self.state is StoredState.OPEN and self.expires_at <= now:
            return SessionState.EXPIRED
        return SessionState(self.state.value)

    def admits(self, now: datetime) -> bool:
        """Whether the end user may begin, or come back from the provider."""
        return self.state is not StoredState.CONNECTED and now < self.expires_at

    def expiry_once_begun(self, now: datetime) -> datetime:
        """When it ends for somebody who begins now."""
        return min(max(self.expires_at, now + SESSION_LIFE), self.created_at + LONGEST_LIFE)


def failure_of(error: str | None) -> ConnectFailure:
    """What a provider's error means (RFC 6749, section 4.1.2.1); None when it sent back neither that nor a code."""
    match error:
        case "access_denied":
            return ConnectFailure.ACCESS_DENIED
        case "temporarily_unavailable":
            return ConnectFailure.PROVIDER_UNAVAILABLE
        case "invalid_request" | "unauthorized_client" | "unsupported_response_type" | "invalid_scope":
            return ConnectFailure.MISCONFIGURED
        case _:
            return ConnectFailure.PROVIDER_ERROR


def refuse_identity(account: Account, told: Sequence[ExternalId]) -> ConnectFailure | None:
    """Why a grant can't become the account's, by the ids that the provider tells with it; None when it can.

    One that was never verified can't be another's. Where it was, who holds a link could be anybody: so whose the grant is must
    be told, and ids of other kinds than the account's tell that of nobody.
    """
    owner = account.owner
    if owner is None:
        return None
    match likeness(owner, told):
        case Likeness.SAME:
            return None
        case Likeness.ANOTHER:
            return ConnectFailure.IDENTITY_MISMATCH
        case Likeness.UNTOLD:
            return ConnectFailure.IDENTITY_UNKNOWN
