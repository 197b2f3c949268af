"""The audit trail: who did what, to which thing, from where, with what result."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.schema import AuditRow
from tokenkeep.application.auditing import AuditEntry, AuditRecord
from tokenkeep.domain.ids import new_id

_LIST = text("""
SELECT id, at, environment, actor, action, target, address, result, count
  FROM audit_log
 WHERE environment = :environment AND (CAST(:before AS uuid) IS NULL OR id < :before)
 ORDER BY id DESC LIMIT :limit
""")


async def write_audit(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """Append entries. Changes are audited in the transaction that makes them, reads of secrets from a buffer."""
    if not entries:
        return
    await connection.execute(
        insert(AuditRow),
        [
            {
                "id": new_id(),
                "environment": entry.caller.environment,
                "actor": entry.caller.name,
                "action": entry.action,
                "target": entry.target,
                "address": entry.caller.address,
                "result": entry.result,
                "count": entry.count,
            }
            for entry in entries
        ],
    )


async def audit_of(
    connection: AsyncConnection, environment: str, *, before: UUID | None, limit: int
) -> list[AuditRecord]:
    """The audit trail of an environment, newest first; `before` is the id to go on from."""
    result = await connection.execute(_LIST, {"environment": environment, "before": before, "limit": limit})
    return [AuditRecord(**row) for row in result.mappings()]
