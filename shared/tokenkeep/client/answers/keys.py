"""API keys, and the audit trail of what they did."""

from dataclasses import dataclass, field
from datetime import datetime

from tokenkeep.client.reading import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(Answer):
    """An API key. `key` is there only where it was made just now, and in no repr; `hint` is what it is recognised by."""

    id: str
    name: str
    environment: str
    scopes: tuple[str, ...]
    hint: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry(Answer):
    """Who did what to which thing, from where, with what result; `count` times."""

    at: datetime
    actor: str
    action: str
    target: str | None = None
    address: str | None = None
    result: str
    count: int = 1
