"""Deliveries, listed and asked for again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.application.webhooks import DeliveryFilter, DeliveryRecord, Span
from tokenkeep.domain.ids import EventId, IdKind, WebhookId
from tokenkeep.domain.webhook import Webhook
from tokenkeep.domain.webhook_tries import DeliveryState

LOOKED_AT: Final = 2_000
"""How many events one transaction of a redelivery looks at."""

_SKEW: Final = timedelta(minutes=10)
"""Positions follow the times of events but for the length of a transaction, and steps of the database's clock."""

_LIST = """
SELECT d.*, e.subject_kind FROM webhook_deliveries AS d
  LEFT JOIN events AS e ON e.position = d.position AND e.id = d.event_id
 WHERE d.webhook_id = :id AND d.position < :before
"""
_OF_STATE = " AND d.state = :state"
_UNDELIVERED = " AND d.state <> 'delivered'"
"""Says nothing new of the other states, but in the words of the index that holds those alone."""
_OF_TYPE = " AND d.type = :type"
_OF_EVENT = " AND d.event_id = :event_id"
_NEWEST_FIRST = " ORDER BY d.position DESC LIMIT :limit"
_FROM = text("""
SELECT position, time FROM events WHERE environment = :environment AND position >= :position ORDER BY position LIMIT 1
""")
_ENDS = text("""
SELECT coalesce(min(position), 0) AS first, coalesce(max(position), 0) AS last FROM events WHERE environment = :environment
""")
# What lies further is given out by the cursor itself, so no event is given out by two at once.
_GIVEN = text("SELECT GREATEST(position, :heard_from) FROM webhook_cursor")
# Those that wait for their first try are left as they are: so whoever repeats a call comes to an end.
_AGAIN = text("""
WITH looked_at AS MATERIALIZED (
    SELECT position, id, subject, type, time FROM events
     WHERE environment = :environment AND position > :after AND position <= :until ORDER BY position LIMIT :most
), wanted AS (
    SELECT e.position, e.id, e.subject, e.type FROM looked_at AS e
      LEFT JOIN webhook_deliveries AS d ON d.webhook_id = :id AND d.position = e.position
     WHERE e.time >= :since AND (CAST(:before AS timestamptz) IS NULL OR e.time < CAST(:before AS timestamptz))
       AND (CAST(:types AS text[]) IS NULL OR e.type = ANY(CAST(:types AS text[])))
       AND (d.state IS NULL OR d.state IN ('failed', 'parked') OR (d.state = 'pending' AND d.tries > 0)
            OR (d.state = 'delivered' AND CAST(:delivered_too AS boolean)))
), again AS (
    INSERT INTO webhook_deliveries AS d (webhook_id, position, event_id, subject, type, state, due_at)
    SELECT :id, position, id, subject, type, 'pending', clock_timestamp() FROM wanted ORDER BY position
    ON CONFLICT (webhook_id, position) DO UPDATE SET state = 'pending', due_at = clock_timestamp(), tries = 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM again) AS made, (SELECT count(*) FROM looked_at) AS looked_at,
       (SELECT max(position) FROM looked_at) AS last
""")
_HIGHEST: Final = (1 << 63) - 1


async def deliveries_of(
    connection: AsyncConnection, webhook_id: WebhookId, wanted: DeliveryFilter, *, before: int | None, limit: int
) -> Sequence[DeliveryRecord]:
    """A webhook's deliveries, the latest event's first; `before` is the position to go on from."""
    statement = _LIST
    given: dict[str, Any] = {"id": webhook_id, "before": _HIGHEST if before is None else before, "limit": limit}
    if wanted.state is not None:
        statement += _OF_STATE if wanted.state is DeliveryState.DELIVERED else _OF_STATE + _UNDELIVERED
        given["state"] = wanted.state.value
    if wanted.type is not None:
        statement += _OF_TYPE
        given["type"] = wanted.type
    if wanted.event_id is not None:
        statement += _OF_EVENT
        given["event_id"] = wanted.event_id
    rows = await connection.execute(text(statement + _NEWEST_FIRST), given)
    return [
        DeliveryRecord(
            position=row.position,
            event_id=EventId(row.event_id),
            subject_kind=None if row.subject_kind is None else IdKind(row.subject_kind),
            subject=row.subject,
            type=row.type,
            state=DeliveryState(row.state),
            tries=row.tries,
            due_at=row.due_at,
            tried_at=row.tried_at,
            status=row.status,
            error=row.error,
            duration_ms=row.duration_ms,
            excerpt=row.excerpt,
            created_at=row.created_at,
        )
        for row in rows
    ]


async def span_of(connection: AsyncConnection, webhook: Webhook, wanted: Span) -> tuple[int, int]:
    """Between which positions the events of a time lie: behind the first, up to the second."""
    given = (await connection.execute(_GIVEN, {"heard_from": webhook.heard_from})).scalar_one()
    after = wanted.after
    if after is None:
        after = await _position_at(connection, webhook.environment, wanted.since - _SKEW)
    until = given
    if wanted.until is not None:
        until = min(given, await _position_at(connection, webhook.environment, wanted.until + _SKEW))
    return after, until


async def deliver_again(
    connection: AsyncConnection, webhook: Webhook, wanted: Span, *, after: int, until: int
) -> tuple[int, int | None]:
    """Have some events of a span delivered to a locked webhook; returns how many, and where to go on, None if that was all."""
    types = wanted.types if webhook.types is None or wanted.types is None else wanted.types & webhook.types
    types = webhook.types if types is None else types
    given = {
        "id": webhook.id,
        "environment": webhook.environment,
        "after": after,
        "until": until,
        "since": wanted.since,
        "before": wanted.until,
        "types": None if types is None else sorted(types),
        "delivered_too": wanted.delivered_too,
        "most": LOOKED_AT,
    }
    row = (await connection.execute(_AGAIN, given)).one()
    return row.made, row.last if row.looked_at == LOOKED_AT and row.last < until else None


async def _position_at(connection: AsyncConnection, environment: str, moment: datetime) -> int:
    """A position behind which all events from this moment on lie, and few others; found by halving, as their times have no order of their own."""
    ends = (await connection.execute(_ENDS, {"environment": environment})).one()
    low, high = ends.first - 1, ends.last
    while low < high:  # 63 times at most
        middle = (low + high + 1) // 2
        found = (await connection.execute(_FROM, {"environment": environment, "position": middle})).one_or_none()
        if found is None or found.time >= moment:
            high = middle - 1
        else:
            low = found.position
    return int(low)
