"""An account: one end user's credentials at one source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from tokenkeep.domain.external_id import UNRECORDED, ExternalId
from tokenkeep.domain.ids import AccountId, SourceId


class AccountState(StrEnum):
    """Whether an account can be used."""

    PENDING = "pending"
    ACTIVE = "active"
    DISABLED = "disabled"


class Health(StrEnum):
    """How refreshing goes. A failing account is still active: nothing has proven its grant dead."""

    HEALTHY = "healthy"
    FAILING = "failing"


class Custody(StrEnum):
    """Who owns the refresh token."""

    HELD = "held"
    RELEASED = "released"
    NONE = "none"


class AuthType(StrEnum):
    """The scheme by which the provider recognises the account."""

    OAUTH2 = "oauth2"
    OAUTH1 = "oauth1"
    API_KEY = "api_key"
    BASIC = "basic"
    BEARER = "bearer"
    CUSTOM = "custom"


class DisabledReason(StrEnum):
    """Why an account was disabled. No fault of a provider's service, of ours or of the client's is among them."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    UNINSTALLED = "uninstalled"
    RELEASED = "released"
    BY_OPERATOR = "by_operator"
    IN_DOUBT = "in_doubt"
    SOURCE_DELETED = "source_deleted"

    @property
    def needs_reauthorization(self) -> bool:
        """Whether only the end user can make the account work again."""
        return self in {
            DisabledReason.REVOKED,
            DisabledReason.EXPIRED,
            DisabledReason.UNINSTALLED,
            DisabledReason.IN_DOUBT,
        }


class FailureReason(StrEnum):
    """Why a refresh did not succeed, in the vocabulary of the contract."""

    INVALID_GRANT = "invalid_grant"
    INVALID_CLIENT = "invalid_client"
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105 - the name of a reason
    NETWORK_ERROR = "network_error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    PROVIDER_5XX = "provider_5xx"
    PROVIDER_4XX = "provider_4xx"
    MALFORMED_RESPONSE = "malformed_response"
    INSUFFICIENT_RESPONSE = "insufficient_response"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Disabled:
    """The fact that an account was disabled: why, when and by whom (`tokenkeep`, an API key's id, or `provider` by a signed notice)."""

    reason: DisabledReason
    detail: str | None
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class LastError:
    """What went wrong at the latest refresh that failed."""

    reason: FailureReason
    http_status: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What the outside sees of an account, credentials aside."""

    id: AccountId
    source_id: SourceId
    environment: str
    provider: str
    auth_type: AuthType
    state: AccountState
    custody: Custody
    external_id: str | None = None
    external_id_verified: bool = False
    external_id_kind: str | None = None
    health: Health = Health.HEALTHY
    disabled: Disabled | None = None
    last_error: LastError | None = None

    @property
    def owner(self) -> ExternalId | None:
        """Whose it is by the provider's own word, which binds it: no other's credentials come in. None: nobody knows.

        It is bound by that word even when of its credentials of today nobody knows (`external_id_verified` is false then).
        """
        kind = self.external_id_kind
        if self.external_id is None or not (self.external_id_verified or kind is not None):
            return None
        return ExternalId(self.external_id, None if kind == UNRECORDED else kind)

    def unverified(self) -> "Account":
        """The account with credentials of which nobody knows whose they are. It stays bound to its owner."""
        return replace(self, external_id_verified=False, external_id_kind=self.external_id_kind or UNRECORDED)

    def evolve(self, **changes: Any) -> "Account":
        """A copy with other values."""
        return replace(self, **changes)

    def turned_off(
        self, reason: DisabledReason, *, detail: str | None, at: datetime, by: str = "tokenkeep"
    ) -> "Account":
        """The account, disabled."""
        return replace(self, state=AccountState.DISABLED, disabled=Disabled(reason, detail, at, by))

    def turned_on(self) -> "Account":
        """The account, active again and with a clean slate. Itself, if that is how it is."""
        if self.state is AccountState.ACTIVE and self.health is Health.HEALTHY and self.last_error is None:
            return self if self.disabled is None else replace(self, disabled=None)
        return replace(self, state=AccountState.ACTIVE, disabled=None, health=Health.HEALTHY, last_error=None)


@dataclass(frozen=True, slots=True)
class InDoubt:
    """That the refresh token was presented without an answer: since when, and how often. Nobody knows whether it is spent."""

    since: datetime
    presentations: int


class VerificationResult(StrEnum):
    """What the provider made of the credentials when it was asked. `unknown`: nothing was learnt."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LastVerification:
    """What came of asking the provider the last time. `code` says more, where there is more to say."""

    result: VerificationResult
    at: datetime
    code: str | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as the API and the command line show it: all there is to say, secrets aside."""

    account: Account
    metadata: Mapping[str, str]
    properties: Mapping[str, str]
    scopes: tuple[str, ...]
    generation: int | None
    expires_at: datetime | None
    refresh_token_expires_at: datetime | None
    last_refreshed_at: datetime | None
    next_refresh_at: datetime | None
    consecutive_failures: int
    in_doubt: InDoubt | None
    verification: LastVerification | None
    created_at: datetime
    updated_at: datetime
    source_has_client: bool = True

    @property
    def authenticated(self) -> bool:
        """Whether it has credentials and lacks nothing, and nobody has said that they are worth nothing."""
        disabled = self.account.disabled
        is_dead = disabled is not None and disabled.reason.needs_reauthorization
        is_whole = self.generation is not None and self.account.state is not AccountState.PENDING
        return is_whole and not is_dead and self.account.custody is not Custody.RELEASED
