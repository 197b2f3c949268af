"""Events: written beside the change they tell, read back by subject."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import TRACE_PARENT, TraceParent
from tokenkeep.adapters.postgres.schema import SHARDS
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import EventId, IdKind

SHARD_OF_SUBJECT = f"abs(hashtext(subject::text)::bigint) % {SHARDS}"
"""The SQL expression by which a subject belongs to a shard."""

OUTBOX_CHANNEL = "tokenkeep_outbox"
"""PostgreSQL notification channel that wakes the relays."""

_COLUMNS = Columns(
    subject="uuid",
    sequence="bigint",
    id="uuid",
    subject_kind="text",
    environment="text",
    type="text",
    time="timestamptz",
    correlation_id="text",
    data="text",
    traceparent="text",
)
# The identity is drawn after the sort, while every subject's row is locked: along a subject, positions grow with sequence.
_APPEND = text(f"""
WITH written AS (
    INSERT INTO events (subject, sequence, id, subject_kind, environment, type, time, correlation_id, data, traceparent)
    SELECT subject, sequence, id, subject_kind, environment, type, time, correlation_id, data::jsonb, traceparent
      FROM {_COLUMNS.ordered_relation("new")} ORDER BY ordinality
    RETURNING position, subject, sequence
), queued AS (
    INSERT INTO outbox (position, shard, subject, sequence)
    SELECT position, {SHARD_OF_SUBJECT}, subject, sequence FROM written
    RETURNING 1
)
SELECT pg_notify('{OUTBOX_CHANNEL}', '') FROM (SELECT count(*) FROM queued) AS done
""")  # noqa: S608 - only our own names are put in

_OF_SUBJECT = text("""
SELECT subject, sequence, id, subject_kind, environment, type, time, correlation_id, data, traceparent
  FROM events
 WHERE subject = :subject AND (CAST(:before AS bigint) IS NULL OR sequence < :before)
 ORDER BY sequence DESC LIMIT :limit
""")


async def append_events(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Write events and queue them for the relay. The subjects' rows must be locked by this transaction."""
    if not events:
        return
    trace_parent: TraceParent | None = connection.sync_engine.get_execution_options().get(TRACE_PARENT)
    rows = [
        {
            "subject": event.subject,
            "sequence": event.sequence,
            "id": event.id,
            "subject_kind": event.subject_kind.value,
            "environment": event.environment,
            "type": str(event.type),
            "time": event.time,
            "correlation_id": event.correlation_id,
            "data": orjson.dumps(event.data).decode(),
            "traceparent": None if trace_parent is None else trace_parent(event.correlation_id, event.subject),
        }
        for event in events
    ]
    await connection.execute(_APPEND, _COLUMNS.parameters(rows))


async def events_of(
    connection: AsyncConnection, subject: UUID, *, before: int | None = None, limit: int = 50
) -> list[Event]:
    """A subject's events, newest first; `before` is the sequence to go on from."""
    result = await connection.execute(_OF_SUBJECT, {"subject": subject, "before": before, "limit": limit})
    return [event_from_row(row) for row in result.mappings()]


def event_from_row(row: RowMapping) -> Event:
    """The event that a row of `events` holds."""
    data: Any = row["data"]
    time: datetime = row["time"]
    return Event(
        id=EventId(row["id"]),
        type=row["type"],
        subject=row["subject"],
        subject_kind=IdKind(row["subject_kind"]),
        environment=row["environment"],
        sequence=row["sequence"],
        time=time,
        correlation_id=row["correlation_id"],
        data=orjson.loads(data) if isinstance(data, str) else data,
        traceparent=row["traceparent"],
    )
