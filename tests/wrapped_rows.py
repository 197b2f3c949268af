"""A row with a wrapped data key in every table that has such, whatever tables there are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Integer, LargeBinary, Table, insert, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import Uuid

from road import Road
from tokenkeep.adapters.postgres.schema.metadata import WRAPPED_FOR
from tokenkeep.adapters.postgres.wrapped_keys import wrapped_tables
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import new_id

FIELD, VERSION = "test", (1, 1)
_SEALED = b"what is sealed in it"
_ONLY_THIS: Mapping[str, Mapping[str, Any]] = {
    "connect_sessions": {"state": "open", "ciphertext": b"c"},
    "credentials": {"epoch": 1, "generation": 1},
    "receipts": {"disposition": "orphan"},
    "revocation_requests": {"ciphertext": b"c"},
    "sources": {"auth_type": "oauth2", "state": "active"},
}
"""What the tables' checks want."""


async def fill(road: Road, vault: Vault) -> dict[tuple[str, UUID], bytes]:
    """A row in each table; by table and owner, something that its data key has sealed."""
    sealed: dict[tuple[str, UUID], bytes] = {}
    async with road.foundation.database.transaction() as connection:
        # Each row stands alone: what it would refer to is not there.
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for name, table in wrapped_tables().items():
            owner = new_id()
            key = vault.new_data_key(owner)
            sealed[name, owner] = vault.seal(owner, key, FIELD, VERSION, _SEALED)
            row = _filled(table) | {table.c.wrapped_key.info[WRAPPED_FOR]: owner}
            row |= {"key_id": key.key_id, "wrapped_key": key.wrapped}
            await connection.execute(insert(table), row)
    return sealed


async def opened(road: Road, vault: Vault, sealed: Mapping[tuple[str, UUID], bytes]) -> dict[str, str]:
    """The key of each table's row, once what it had sealed has opened with it."""
    found: dict[str, str] = {}
    for (name, owner), ciphertext in sealed.items():
        owned_by = wrapped_tables()[name].c.wrapped_key.info[WRAPPED_FOR]
        [row] = await road.sql(f"SELECT key_id, wrapped_key FROM {name} WHERE {owned_by} = :owner", owner=owner)  # noqa: S608
        key = SealedKey(row["key_id"], row["wrapped_key"])
        assert vault.open(owner, key, FIELD, VERSION, ciphertext) == _SEALED
        found[name] = row["key_id"]
    return found


def _filled(table: Table) -> dict[str, Any]:
    needed = (it for it in table.columns if not it.nullable and it.server_default is None)
    return {it.name: _some(it.type) for it in needed} | dict(_ONLY_THIS.get(table.name, {}))


def _some(kind: Any) -> Any:
    match kind:
        case Uuid():
            return new_id()
        case LargeBinary():
            return new_id().bytes
        case Boolean():
            return False
        case Integer():
            return 1
        case ARRAY():
            return []
        case JSONB():
            return {}
        case TIMESTAMP():
            return datetime.now(UTC) + timedelta(days=1)
        case _:
            return new_id().hex
