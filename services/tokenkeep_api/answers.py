"""What answers look like, for the API's description. The routes write them by `rendering`; tests hold one to the other."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from tokenkeep.application.import_progress import LineStatus
from tokenkeep.application.revocations import RevocationAsked
from tokenkeep.domain.account import (
    AccountState,
    AuthType,
    Custody,
    DisabledReason,
    FailureReason,
    Health,
    VerificationResult,
)
from tokenkeep.domain.api_key import Scope
from tokenkeep.domain.attempt import Outcome, Resolution, Trigger
from tokenkeep.domain.connect_session import ConnectFailure, SessionState
from tokenkeep.domain.source import SourceState

Item = TypeVar("Item")


class Answer(BaseModel):
    """No member is left out, and there are no others."""

    model_config = ConfigDict(extra="forbid")


class Data(Answer, Generic[Item]):
    """One thing."""

    data: Item


class Page(Answer, Generic[Item]):
    """Things in order. `next_cursor` is null on the last page."""

    data: list[Item]
    next_cursor: str | None


class ProblemAnswer(BaseModel):
    """A problem (RFC 9457). `field` names the member, parameter or header that is wrong, where it is one.

    `connect_url` is there where the account's end user can lift the refusal: send them to it. It is good for 30 days, or
    until the account is authorised again.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    retry_after: int | None = None
    connect_url: str | None = None


class ProviderAnswer(Answer):
    """An entry of the catalogue. The schemas are JSON Schema, 2020-12.

    `confidence` says how the entry was established, `documented_fields` and `recalled_fields` which of its facts were read in
    the provider's documentation or come from memory; `origin` says whether it is built in, or who added it.
    """

    slug: str
    name: str
    auth_type: AuthType
    grant: str | None
    categories: list[str]
    notes: str | None
    docs: list[str]
    confidence: str
    documented_fields: list[str]
    recalled_fields: list[str]
    origin: str
    capabilities: dict[str, Any]
    credential_schema: dict[str, Any]
    property_schema: dict[str, Any]
    options_schema: dict[str, Any]


class AccountSchemaAnswer(Answer):
    """What an account of a source needs. `credentials` and `properties` are JSON Schema, 2020-12.

    `required` names what it can't be used without, such as `credentials.api_key` and `properties.subdomain`.
    """

    credentials: dict[str, Any]
    properties: dict[str, Any]
    required: list[str]


class SourceAnswer(Answer):
    """A source. Its secrets are write-only; `has_hook_secret` tells whether there is one that its provider signs notices with.

    `proving`: its client was changed, and one account is tried before the others follow.
    """

    id: str
    environment: str
    provider: str
    name: str
    auth_type: AuthType
    client_id: str | None
    scopes: list[str]
    options: dict[str, Any]
    account_schema: AccountSchemaAnswer | None
    state: SourceState
    paused_reason: str | None
    proving: bool
    paused_at: datetime | None
    has_hook_secret: bool
    created_at: datetime
    updated_at: datetime


class DisabledAnswer(Answer):
    """Why, when and by whom an account was disabled."""

    reason: DisabledReason
    detail: str | None
    at: datetime
    by: str


class LastErrorAnswer(Answer):
    """What went wrong at the latest refresh that failed."""

    reason: FailureReason
    http_status: int | None
    at: datetime


class OAuth2CredentialsAnswer(Answer):
    """An OAuth 2 account's credentials; never a refresh token, and never what a machine proves itself with."""

    oauth_access_token: str
    token_type: str
    expires_at: datetime | None
    scopes: list[str]


class OAuth1CredentialsAnswer(Answer):
    """An OAuth 1.0a account's credentials. Requests are signed by `POST …/sign`, with the consumer's secret too."""

    oauth_token: str
    oauth_token_secret: str
    oauth_consumer_key: str | None


CredentialsAnswer = OAuth2CredentialsAnswer | OAuth1CredentialsAnswer | dict[str, str]
"""Those of other kinds have the members that they were given with: `api_key`, `username` and `password`, `access_token`, …"""


class VerificationAnswer(Answer):
    """What came of asking the provider about the credentials the last time.

    `rejected`: it said that it does not take them. `unknown`: nothing was learnt, and `code` says why; it is no fault of the
    account's. `code` is also there when something is to be noticed though they were confirmed: `external_id_mismatch` (the
    provider tells another id than the account was given) or `account_exists` (another account has the one that it tells).
    """

    result: VerificationResult
    code: str | None
    at: datetime


class InDoubtAnswer(Answer):
    """Since when, and how often, the refresh token was presented without an answer."""

    since: datetime
    presentations: int


class AccountAnswer(Answer):
    """An account. `expires_at` null means that the credentials do not expire.

    `authenticated`: it has credentials and lacks nothing, and nobody has said that they are worth nothing. `missing` names what
    it lacks, as its source's `account_schema.required` does. `external_id_verified`: the provider itself has told the external id, of the present credentials; no other
    account of the source has it then.
    `verification` is null where the provider was never asked about the present credentials.
    """

    id: str
    source_id: str
    provider: str
    environment: str
    external_id: str | None
    external_id_verified: bool
    metadata: dict[str, str]
    properties: dict[str, Any]
    auth_type: AuthType
    state: AccountState
    authenticated: bool
    missing: list[str]
    disabled: DisabledAnswer | None
    health: Health
    custody: Custody
    scopes: list[str]
    expires_at: datetime | None
    refresh_token_expires_at: datetime | None
    last_refreshed_at: datetime | None
    next_refresh_at: datetime | None
    consecutive_failures: int
    in_doubt: InDoubtAnswer | None
    last_error: LastErrorAnswer | None
    verification: VerificationAnswer | None
    created_at: datetime
    updated_at: datetime


class DisabledAccountAnswer(AccountAnswer):
    """An account that was disabled. `revocation` is there if it was disabled with its grant.

    `requested`: the provider is told as soon as it can be had; `not_needed`: nothing of the grant is alive, or another account
    lives by it, or by another one of the same user's; `not_possible`: no way of the provider's is known; `failed`: the tokens could not be opened.
    """

    revocation: RevocationAsked | None = None


class AccountWithCredentialsAnswer(AccountAnswer):
    """An account; with `include_credentials=1`, its credentials too."""

    credentials: CredentialsAnswer | None = None


class TokenAnswer(Answer):
    """What a request to the provider needs: its headers, ready to use. A token is null where the credentials are none.

    `query` is there where a key goes into the query, `path` where it goes before the request's own path, and `sign_url` where
    each request is signed for itself. `expires_at` null means that the credentials do not expire.
    """

    access_token: str | None
    token_type: str | None
    expires_at: datetime | None
    scopes: list[str]
    headers: dict[str, str]
    refreshed: bool
    query: dict[str, str] | None = None
    path: str | None = None
    sign_url: str | None = None


class SignatureAnswer(Answer):
    """The header that one request needs; its nonce must not come twice."""

    headers: dict[str, str]


class ReleaseAnswer(Answer):
    """Credentials that are handed back, to be confirmed. `in_doubt` is there only when the refresh token may be used up."""

    refresh_token: str
    access_token: str
    expires_at: datetime | None
    scopes: list[str]
    confirm_before: datetime
    in_doubt: Literal[True] | None = None


class ErasureAnswer(Answer):
    """When credentials that had been handed back were erased."""

    erased_at: datetime


class ImportResultAnswer(Answer):
    """What became of one line of an import.

    A line that was `rejected` has `code` and `detail`, and `field` where a member is at fault; the others have the account's `id`,
    but for one that `exists` in another environment, which has `code` and `detail`.
    """

    line: int
    status: LineStatus
    id: str | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None


class RefreshAnswer(Answer):
    """A refresh that was asked for. Its attempt and events bear the correlation id."""

    account_id: str
    correlation_id: str


class AttemptAnswer(Answer):
    """One entry of the refresh journal. `outcome` null means that it is not settled.

    `presentations` is how often the refresh token left under it; `resolution` how it ended an earlier doubt. `due_at`: since
    when the refresh was due; null where an earlier release did not write it down.
    """

    id: str
    account_id: str
    trigger: Trigger
    outcome: Outcome | None
    reason: FailureReason | None
    http_status: int | None
    error_code: str | None
    presented_generation: int
    presentations: int
    resolution: Resolution | None
    correlation_id: str
    due_at: datetime | None
    sent_at: datetime | None
    settled_at: datetime | None


class NewConnectSessionAnswer(Answer):
    """A connect session as it is shown once. Send the end user to `url`, in the browser that they use with you."""

    id: str
    url: str
    expires_at: datetime


class ConnectSessionAnswer(Answer):
    """How a connect session stands. A failed one can be tried again by its user until it expires.

    `failure_code` says why it failed. `account_id` is the account that is to be reconnected, or the one that came of it.
    `result_verified`: the request came with the session's `result`, and was the first to do so.
    """

    id: str
    source_id: str
    account_id: str | None
    state: SessionState
    failure_code: ConnectFailure | None
    result_verified: bool
    created_at: datetime
    expires_at: datetime


class ApiKeyAnswer(Answer):
    """An API key, without the key itself."""

    id: str
    name: str
    environment: str
    scopes: list[Scope]
    hint: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewApiKeyAnswer(ApiKeyAnswer):
    """An API key as it is shown once."""

    key: str


class AuditAnswer(Answer):
    """Who did what to which thing, from where, with what result; `count` times."""

    at: datetime
    actor: str
    action: str
    target: str | None
    address: str | None
    result: str
    count: int
