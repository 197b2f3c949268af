"""What is written into the audit trail."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tokenkeep.domain.api_key import Caller


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `count` is how often it was done, where equal acts of a short while are written as one."""

    caller: Caller
    action: str
    target: str | None
    result: str = "ok"
    count: int = 1


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as it is read back. `actor` is an API key's id, or `admin-key`.

    What an end user does is done by their connect session's id; `connect-link` opens sessions. `provider` tells by itself.
    """

    id: UUID
    at: datetime
    environment: str
    actor: str
    action: str
    target: str | None
    address: str | None
    result: str
    count: int


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted: all that fit what is given. `since` is included, `until` is not."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    result: str | None = None
    since: datetime | None = None
    until: datetime | None = None
