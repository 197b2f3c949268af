"""The audit trail: who did what, to which thing, from where, with what result."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.bulk_insert import BulkInsert
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schema import AuditRow
from tokenkeep.application.auditing import AuditEntry, AuditFilter, AuditRecord
from tokenkeep.domain.ids import first_id, new_id

_WRITTEN = ("id", "environment", "actor", "action", "target", "address", "result", "count")
_INSERT = BulkInsert(AuditRow, *_WRITTEN)
# An entry's id begins with the time of its making by another clock than the database's. The index is left by it, with room.
_SKEW = timedelta(hours=1)


async def write_audit(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """Append entries. Changes are audited in the transaction that makes them, reads of secrets from a buffer."""
    await _INSERT(connection, [dict(zip(_WRITTEN, _row(entry), strict=True)) for entry in entries])


async def append_audit(database: Database, entries: Sequence[AuditEntry]) -> None:
    """Append many entries at once, all or none."""
    await database.append(AuditRow.__tablename__, _WRITTEN, [_row(entry) for entry in entries])


def _row(entry: AuditEntry) -> tuple[Any, ...]:
    it = entry.caller
    return new_id(), it.environment, it.name, entry.action, entry.target, it.address, entry.result, entry.count


async def audit_of(
    connection: AsyncConnection, environment: str, wanted: AuditFilter, *, before: UUID | None, limit: int
) -> list[AuditRecord]:
    """The audit trail of an environment, newest first; `before` is the id to go on from."""
    row = AuditRow.__table__.c
    conditions = [row.environment == environment]
    for column, value in (
        (row.actor, wanted.actor),
        (row.action, wanted.action),
        (row.target, wanted.target),
        (row.result, wanted.result),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions += [row.at >= wanted.since, row.id >= first_id(wanted.since - _SKEW)]
    if wanted.until is not None:
        conditions += [row.at < wanted.until, row.id < first_id(wanted.until + _SKEW)]
    if before is not None:
        conditions.append(row.id < before)
    result = await connection.execute(
        select(AuditRow.__table__).where(*conditions).order_by(row.id.desc()).limit(limit)
    )
    return [AuditRecord(**entry) for entry in result.mappings()]
