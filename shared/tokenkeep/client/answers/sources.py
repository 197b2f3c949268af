"""The catalogue's providers, and sources: providers configured with a developer's own client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenkeep.client.reading import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Answer):
    """An entry of the catalogue. The schemas are JSON Schema, 2020-12."""

    slug: str
    name: str
    auth_type: str
    grant: str | None = None
    categories: tuple[str, ...] = ()
    notes: str | None = None
    docs: tuple[str, ...] = ()
    confidence: str | None = None
    documented_fields: tuple[str, ...] = ()
    recalled_fields: tuple[str, ...] = ()
    origin: str | None = None
    capabilities: Mapping[str, Any]
    credential_schema: Mapping[str, Any]
    property_schema: Mapping[str, Any]
    options_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSchema(Answer):
    """What an account of a source needs: JSON Schema, 2020-12. `required` names what it can't be used without."""

    credentials: Mapping[str, Any]
    properties: Mapping[str, Any]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Answer):
    """A source. Its secrets are write-only. `state`: `active` or `paused`.

    `proving`: its client was changed, and one account is tried before the others follow.
    """

    id: str
    environment: str
    provider: str
    name: str
    auth_type: str
    client_id: str | None = None
    scopes: tuple[str, ...] = ()
    options: Mapping[str, Any]
    account_schema: AccountSchema | None = None
    state: str
    paused_reason: str | None = None
    proving: bool = False
    paused_at: datetime | None = None
    has_hook_secret: bool = False
    created_at: datetime
    updated_at: datetime
