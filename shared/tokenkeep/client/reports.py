"""Events that a service sends about its accounts: CloudEvents 1.0, made here, so that sending one again is no second one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from tokenkeep.domain.incoming_event import IncomingType, fingerprint, read_incoming
from tokenkeep.domain.secret import Secret

SOURCE = "/tokenkeep-client"
"""Who sends, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Report:
    """One event to be sent. Its `id` is made once, with it: send the same report again after a fault, and it counts once."""

    type: IncomingType
    account_id: str
    data: dict[str, str] = field(default_factory=dict)
    source: str = SOURCE
    id: str = field(default_factory=lambda: uuid4().hex)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        """Refuse what the server would. Raises `InvalidInput`, which quotes nothing."""
        read_incoming(self.cloudevent())

    def cloudevent(self) -> dict[str, Any]:
        """The event in JSON form."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type.value,
            "subject": self.account_id,
            "time": self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": dict(self.data),
        }


def unauthorized(account_id: str, token: str, *, source: str = SOURCE) -> Report:
    """The provider answered 401 to this token, whose fingerprint is sent, and not the token."""
    data = {"token_fingerprint": fingerprint(Secret(token))}
    return Report(IncomingType.UNAUTHORIZED, account_id, data, source)


def revoked(account_id: str, *, reason: str | None = None, source: str = SOURCE) -> Report:
    """The account's grant is dead, as far as the service knows. `reason` is for your own eyes."""
    return Report(IncomingType.REVOKED, account_id, _because(reason), source)


def refresh_requested(account_id: str, *, source: str = SOURCE) -> Report:
    """The account should be refreshed now."""
    return Report(IncomingType.REFRESH_REQUESTED, account_id, {}, source)


def disable_requested(account_id: str, *, reason: str | None = None, source: str = SOURCE) -> Report:
    """The account should not be used any more."""
    return Report(IncomingType.DISABLE_REQUESTED, account_id, _because(reason), source)


def enable_requested(account_id: str, *, source: str = SOURCE) -> Report:
    """The account should be used again."""
    return Report(IncomingType.ENABLE_REQUESTED, account_id, {}, source)


def _because(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}


@dataclass(frozen=True, slots=True)
class Reception:
    """How one event was received: `accepted`, `duplicate`, or `rejected` with a `code`, a `detail` and the `field` at fault."""

    id: str
    status: Literal["accepted", "duplicate", "rejected"]
    code: str | None = None
    detail: str | None = None
    field: str | None = None
