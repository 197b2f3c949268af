"""What can go wrong on a client's side.

    TokenkeepError
    ├── ClientError
    │   ├── NotConfigured       the client was not told what the call needs: an address, a key, a place for its cursor
    │   ├── Unreachable         the server could not be had, or said that it can't answer now
    │   ├── StreamRefused       Redis refuses for good: a wrong password, a command that is not allowed
    │   ├── ApiProblem          the API refuses; `code` says why (RFC 9457)
    │   ├── CursorInUse         another process reads the feed by this cursor
    │   ├── GaveUp              a handler failed too often, and there is no place for dead letters
    │   └── NotAnEvent          what was read is no event of ours
    └── CursorExpired           events after the cursor are not kept any more (`domain/errors.py`)

`Retry` and `Reject` are no errors: a handler raises them to say what is to become of its event (`retrying.py`).
"""

from tokenkeep.domain.errors import TokenkeepError


class ClientError(TokenkeepError):
    """The root of what only clients meet."""


class NotConfigured(ClientError):
    """The client was not told what this call needs. The message says what is missing."""


class Unreachable(ClientError):
    """The server could not be had, or says that it can't answer now. `retry_after`: when to ask again, in seconds."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class StreamRefused(ClientError):
    """Redis refuses a command, and would refuse it again. The message is its own."""


class ApiProblem(ClientError):
    """The API refuses a request: `status`, the stable `code`, and the `field` at fault, if there is one."""

    def __init__(self, status: int, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field


class CursorInUse(ClientError):
    """Another process holds this cursor: two readers of one cursor would overwrite each other's place."""


class GaveUp(ClientError):
    """An event's handler failed too often, and nothing was given that takes dead letters. The cursor stands before it."""

    def __init__(self, event_id: str, reason: str) -> None:
        super().__init__(f"{event_id}: {reason}")
        self.event_id = event_id
        self.reason = reason


class NotAnEvent(ClientError):
    """What was read is no event of ours. The message says what it lacks, and quotes nothing."""
