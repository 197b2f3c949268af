"""Connect sessions, and what those are told who authorise users on pages of their own."""

from dataclasses import dataclass, field
from datetime import datetime

from tokenkeep.client.reading import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnectSession(Answer):
    """A connect session as it is shown once. Send the end user to `url`; whoever has it can use it, so no repr shows it."""

    id: str
    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSession(Answer):
    """How a connect session stands. `state`: `open`, `connected`, `failed` or `expired`; `failure_code`: see `ConnectFailure`.

    `account_id` is the account that is to be reconnected, or the one that came of it. `result_verified`: the request came with
    the session's `result`, and was the first to do so.
    """

    id: str
    source_id: str
    account_id: str | None = None
    state: str
    failure_code: str | None = None
    result_verified: bool = False
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Answer):
    """Where the user is to be sent. Of OAuth 1.0a, with the temporary credentials that the verifier will belong to."""

    redirect_uri: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized(Answer):
    """An access token, and the account that keeps it fresh; of OAuth 1.0a, its secret too. No repr shows them."""

    access_token: str = field(repr=False)
    expires_on: datetime | None = None
    account_id: str
    access_secret: str | None = field(default=None, repr=False)
