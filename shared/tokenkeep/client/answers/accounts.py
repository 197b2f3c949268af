"""Accounts, their refresh journal, and what is handed back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tokenkeep.client.reading import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Disabled(Answer):
    """Why, when and by whom an account was disabled. `reason`: see `DisabledReason`."""

    reason: str
    detail: str | None = None
    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError(Answer):
    """What went wrong at the latest refresh that failed. `reason`: see `FailureReason`."""

    reason: str
    http_status: int | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt(Answer):
    """Since when, and how often, the refresh token was presented without an answer."""

    since: datetime
    presentations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Answer):
    """What came of asking the provider about the credentials the last time: `confirmed`, `rejected` or `unknown`."""

    result: str
    code: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Answer):
    """One end user's credentials at one source.

    `state`: see `AccountState`; `health`: `Health`; `custody`: `Custody`; `auth_type`: `AuthType`. `expires_at` None: they do
    not expire. `missing` names what it lacks. `credentials` are there only if they were asked for, and never in a repr.
    `revocation` is there after a disabling with revocation.
    """

    id: str
    source_id: str
    provider: str
    environment: str
    external_id: str | None = None
    external_id_verified: bool = False
    metadata: Mapping[str, str]
    properties: Mapping[str, Any]
    auth_type: str
    state: str
    authenticated: bool = False
    missing: tuple[str, ...] = ()
    disabled: Disabled | None = None
    health: str
    custody: str
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    refresh_token_expires_at: datetime | None = None
    last_refreshed_at: datetime | None = None
    next_refresh_at: datetime | None = None
    consecutive_failures: int = 0
    in_doubt: InDoubt | None = None
    last_error: LastError | None = None
    verification: Verification | None = None
    created_at: datetime
    updated_at: datetime
    credentials: Mapping[str, Any] | None = field(default=None, repr=False)
    revocation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Answer):
    """One entry of the refresh journal. `outcome` None: it is not settled.

    `trigger`, `outcome` and `resolution`: see `Trigger`, `Outcome` and `Resolution`.
    """

    id: str
    account_id: str
    trigger: str
    outcome: str | None = None
    reason: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    presented_generation: int
    presentations: int
    resolution: str | None = None
    correlation_id: str
    due_at: datetime | None = None
    sent_at: datetime | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshAsked(Answer):
    """A refresh that was asked for. Its attempt and its events bear the correlation id."""

    account_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(Answer):
    """Credentials that are handed back, to be confirmed until `confirm_before`. No repr shows them.

    `in_doubt`: the refresh token was presented and the answer never had; it may be used up.
    """

    refresh_token: str = field(repr=False)
    access_token: str = field(repr=False)
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    confirm_before: datetime
    in_doubt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure(Answer):
    """When credentials that had been handed back were erased."""

    erased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult(Answer):
    """What became of one line of an import; `line` counts from 1.

    `status`: `created`, `exists`, or `rejected` with a `code`, a `detail`, and the `field` at fault where there is one.
    """

    line: int
    status: str
    id: str | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(Answer):
    """The header that one request of OAuth 1.0a needs; its nonce must not come twice."""

    headers: Mapping[str, str] = field(repr=False)
