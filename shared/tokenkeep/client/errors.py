"""What can go wrong on a client's side.

    TokenkeepError
    ├── InvalidInput                 what the caller gave can't be meant; nothing was sent (`domain/errors.py`)
    └── ClientError
        ├── NotConfigured            the client was not told what the call needs: an address, a key, a place for its cursor
        ├── Unreachable              the server could not be had, or said that it can't answer now; `retry_after`
        │   ├── DeadlineExceeded     no answer within the caller's time
        │   └── TemporaryProblem     the API itself said so: `status`, `code`
        │       ├── RateLimited      429: more requests than the key, or its environment, may make
        │       └── ServiceUnavailable  500, 502, 503, 504
        │           └── TokenUnavailable  no token to be had in time; `reason`. The account is none the worse for it
        ├── ApiProblem               the API refuses; `status`, `code` and `field` say why (RFC 9457)
        │   ├── InvalidRequest       400, 413, 415, 422: what `field` names can't be taken
        │   │   └── CredentialsRejected  the provider does not take the credentials
        │   ├── NotAuthenticated     401: the API key is not valid (any more)
        │   ├── NotAllowed           403: the API key lacks `scope`
        │   ├── NotFound             404: there is no such thing in the key's environment
        │   ├── CredentialsErased    410: credentials that were handed back and erased
        │   ├── CursorExpired        410: events after the cursor are not kept any more
        │   └── Conflict             409: it does not fit the present state
        │       ├── AccountDisabled  the account gives no token; `reason`
        │       │   └── ReauthorizationRequired  only its end user can change that: send them to `connect_url`
        │       ├── AccountNotReady  the account has no credentials yet
        │       ├── AccountExists    there is one already; `account_id`
        │       └── SourcePaused     nothing is refreshed at the account's source; `reason`
        ├── UnreadableAnswer         an answer lacks what this version of the SDK needs
        ├── OriginNotAllowed         a request with an account's credentials was about to go where they don't belong
        ├── StreamRefused            Redis refuses for good: a wrong password, a command that is not allowed
        ├── CursorInUse              another process reads the feed by this cursor
        ├── GaveUp                   a handler failed too often, and there is no place for dead letters
        └── NotAnEvent               what was read is no event of ours

`Retry` and `Reject` are no errors: a handler raises them to say what is to become of its event (`retrying.py`).
"""

from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.errors import TokenkeepError


class ClientError(TokenkeepError):
    """The root of what only clients meet."""


class NotConfigured(ClientError):
    """The client was not told what this call needs. The message says what is missing."""


class Unreachable(ClientError):
    """The server could not be had, or says that it can't answer now.

    `retry_after`: when to ask again, in seconds. `maybe_done`: whether it may have done what it was asked for; else it has
    not begun.
    """

    def __init__(self, detail: str, *, retry_after: float | None = None, maybe_done: bool = True) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.maybe_done = maybe_done


class DeadlineExceeded(Unreachable):
    """No answer came within the time that the caller gave, all tries together."""


class _Told:
    """What a problem document says (RFC 9457). `document` is the whole of it; `correlation_id` finds it in the server's log."""

    status: int
    code: str
    detail: str
    correlation_id: str | None
    document: Mapping[str, Any]

    def _tell(
        self, status: int, code: str, detail: str, correlation_id: str | None, document: Mapping[str, Any] | None
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.correlation_id = correlation_id
        self.document = {} if document is None else document

    def _text(self, name: str) -> str | None:
        value = self.document.get(name)
        return value if isinstance(value, str) else None


class TemporaryProblem(Unreachable, _Told):
    """The API says that it can't answer now: `status`, `code`, `detail`, `retry_after`."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: float | None = None,
        correlation_id: str | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(_message(status, code, detail), retry_after=retry_after, maybe_done=status != _TOO_MANY)
        self._tell(status, code, detail, correlation_id, document)


class RateLimited(TemporaryProblem):
    """More requests than the key, or its environment, may make. Nothing was done. `retry_after`: when to ask again, in seconds."""


class ServiceUnavailable(TemporaryProblem):
    """The API, its database or the provider can't be had for the moment."""


class TokenUnavailable(ServiceUnavailable):
    """No token to be had in time, which is no verdict on the account. `retry_after`: when to ask again, in seconds."""

    @property
    def reason(self) -> str | None:
        """Why: a failure's reason such as `timeout`, or a text."""
        return self._text("reason")


class ApiProblem(ClientError, _Told):
    """The API refuses a request: `status`, the stable `code`, and the `field` at fault, if there is one."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        field: str | None = None,
        *,
        retry_after: float | None = None,
        correlation_id: str | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(_message(status, code, detail if field is None else f"{field}: {detail}"))
        self._tell(status, code, detail, correlation_id, document)
        self.field = field
        self.retry_after = retry_after


class InvalidRequest(ApiProblem):
    """What `field` names can't be taken. Nothing was done."""


class CredentialsRejected(InvalidRequest):
    """The provider does not take the credentials. Nothing was stored."""


class NotAuthenticated(ApiProblem):
    """The API key is missing, unknown, expired or withdrawn. Which of them is not told."""


class NotAllowed(ApiProblem):
    """The API key does not have the scope that this call needs."""

    @property
    def scope(self) -> str | None:
        """The scope that is missing."""
        return self._text("scope")


class NotFound(ApiProblem):
    """There is no such thing in the key's environment."""


class CredentialsErased(ApiProblem):
    """The account's credentials were handed back, and erased since."""


class CursorExpired(ApiProblem):
    """Events after the cursor are not kept any more, or the database was set back: read the state of what you follow."""


class Conflict(ApiProblem):
    """The request is sound but does not fit the present state; `code` says how."""


class AccountDisabled(Conflict):
    """The account is disabled and gives no token."""

    @property
    def reason(self) -> str | None:
        """Why: `revoked`, `expired`, `by_operator` and so on."""
        return self._text("reason")

    @property
    def connect_url(self) -> str | None:
        """Where the account's end user can authorise it again, if that helps. Good for 30 days; whoever has it can use it."""
        return self._text("connect_url")


class ReauthorizationRequired(AccountDisabled):
    """Only the end user can make this account work again: send them to `connect_url`."""


class AccountNotReady(Conflict):
    """The account is `pending`: it has no credentials yet, or lacks something that its provider needs."""


class AccountExists(Conflict):
    """The source has an account with this external id, or its client one with this refresh token."""

    @property
    def account_id(self) -> str | None:
        """Which one; None if it is of another environment."""
        return self._text("account_id")


class SourcePaused(Conflict):
    """Nothing is refreshed at the account's source, and what is stored is too old."""

    @property
    def reason(self) -> str | None:
        """Why it is paused, where that is told."""
        return self._text("reason")


class UnreadableAnswer(ClientError):
    """An answer lacks what this version of the SDK needs. The message names the member, and quotes nothing."""


class OriginNotAllowed(ClientError):
    """A request with an account's credentials was about to go to an origin that they don't belong to. They were not sent there."""


class StreamRefused(ClientError):
    """Redis refuses a command, and would refuse it again. The message is its own."""


class CursorInUse(ClientError):
    """Another process holds this cursor: two readers of one cursor would overwrite each other's place."""


class GaveUp(ClientError):
    """An event's handler failed too often, and nothing was given that takes dead letters. The cursor stands before it."""

    def __init__(self, event_id: str, reason: str) -> None:
        super().__init__(f"{event_id}: {reason}")
        self.event_id = event_id
        self.reason = reason


class NotAnEvent(ClientError):
    """What was read is no event of ours; the message says what is wrong with it, and quotes nothing."""


_TOO_MANY = 429


def _message(status: int, code: str, detail: str) -> str:
    return f"{status} {code}: {detail}" if detail else f"{status} {code}"
