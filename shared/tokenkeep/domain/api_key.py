"""API keys: who may do what, in which environment."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tokenkeep.domain.ids import ApiKeyId

ENVIRONMENT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
"""An environment's name: 1 to 64 lower-case letters, digits, hyphens and underscores."""


class Scope(StrEnum):
    """What an API key may be allowed to do. `admin` includes all the others."""

    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_RELEASE = "credentials:release"
    SOURCES_READ = "sources:read"
    SOURCES_WRITE = "sources:write"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    WEBHOOKS_WRITE = "webhooks:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is shown after its making: never the key itself."""

    id: ApiKeyId
    name: str
    environment: str
    scopes: frozenset[Scope]
    hint: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: an API key's id (or `admin-key`), its environment, and what it may do."""

    name: str
    environment: str
    scopes: frozenset[Scope]
    address: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes
