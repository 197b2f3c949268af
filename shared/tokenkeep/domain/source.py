"""A source: one provider, configured in one environment with the developer's own client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.ids import SourceId


class SourceState(StrEnum):
    """Whether the source's accounts are being refreshed."""

    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is shown; its client secret is write-only.

    `options` are the developer's own settings, by the names of the contract (RFC 8414 where that has one); what they
    leave out, the provider's catalogue entry supplies. `secret_version` counts changes of the client secret.
    """

    id: SourceId
    environment: str
    provider: str
    name: str
    auth_type: AuthType
    client_id: str | None
    scopes: tuple[str, ...]
    options: Mapping[str, Any]
    state: SourceState
    paused_reason: str | None
    secret_version: int
    created_at: datetime
    updated_at: datetime
