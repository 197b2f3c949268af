"""The end of an endpoint's turn: what was tried is written down, what waited behind it is let go, the lane given back."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.application.webhooks import Lane, Standing
from tokenkeep.domain.ids import WebhookId
from tokenkeep.domain.webhook_tries import After, Condition, DeliveryState, WaveEnd

_STANDING = text("""
SELECT l.failures, l.failing_since, l.failed_at, l.rest_until, w.url, clock_timestamp() AS now
  FROM webhook_lanes AS l JOIN webhooks AS w ON w.id = l.webhook_id
 WHERE l.webhook_id = :id AND l.holder = :holder AND l.deleted_at IS NULL FOR NO KEY UPDATE OF l
""")
_COLUMNS = Columns(
    position="bigint",
    tries="integer",
    state="text",
    due_at="timestamptz",
    status="integer",
    error="text",
    duration_ms="integer",
    excerpt="text",
)
# Of one that was put aside meanwhile only a success changes the state. So it is with one that was asked for again: what
# follows from this try's failure was worked out from tries that count no more, and this one counts no more than they do.
_RECORD = text(f"""
UPDATE webhook_deliveries AS d
   SET state = CASE WHEN (d.state = 'parked' OR d.tries <> n.tries) AND n.state <> 'delivered' THEN d.state ELSE n.state END,
       due_at = CASE WHEN (d.state = 'parked' OR d.tries <> n.tries) AND n.state <> 'delivered' THEN d.due_at ELSE n.due_at END,
       tries = CASE WHEN d.tries <> n.tries AND n.state <> 'delivered' THEN d.tries ELSE d.tries + 1 END,
       tried_at = :now, status = n.status, error = n.error, duration_ms = n.duration_ms,
       excerpt = n.excerpt
  FROM {_COLUMNS.relation("n")} WHERE d.webhook_id = :id AND d.position = n.position
RETURNING d.position, d.subject, d.state
""")  # noqa: S608 - only our own names are put in
# The array is looked up once whatever the planner believes. As a join it was done again for each delivery of a webhook of
# which statistics know nothing yet: minutes, behind a backlog.
_LET_GO = text("""
UPDATE webhook_deliveries AS d SET due_at = clock_timestamp()
 WHERE d.webhook_id = :id AND d.due_at IS NULL AND d.state = 'pending' AND d.position = ANY (ARRAY(
       SELECT next.position
         FROM unnest(CAST(:subjects AS uuid[])) AS ended(subject)
        CROSS JOIN LATERAL (SELECT position FROM webhook_deliveries AS p
                             WHERE p.webhook_id = :id AND p.subject = ended.subject AND p.state = 'pending'
                             ORDER BY position LIMIT 1) AS next))
""")
_DELIVERED = text("UPDATE webhook_lanes SET delivered_at = :now WHERE webhook_id = :id")
# Deliveries that wait behind others are looked at when there is no other one that could let them go, or nothing is
# to wait any more.
_GIVE_BACK = text("""
UPDATE webhook_lanes AS l
   SET holder = NULL, lease_until = NULL, failures = :failures, failing_since = :failing_since, failed_at = :failed_at,
       rest_until = :rest_until,
       wake_at = CASE WHEN w.disabled_reason IS NOT NULL THEN NULL
                      WHEN waiting.is_there AND (first.due_at IS NULL OR NOT w.ordered) THEN clock_timestamp()
                      WHEN first.due_at <= clock_timestamp() THEN clock_timestamp()
                      ELSE first.due_at END
  FROM webhooks AS w
  CROSS JOIN LATERAL (SELECT min(due_at) AS due_at FROM webhook_deliveries
                       WHERE webhook_id = w.id AND state = 'pending') AS first
  CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM webhook_deliveries
                                      WHERE webhook_id = w.id AND state = 'pending' AND due_at IS NULL) AS is_there) AS waiting
 WHERE l.webhook_id = :id AND w.id = l.webhook_id
""")


class PostgresWebhookTurns:
    """Turns over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def standing(self, webhook_id: WebhookId, holder: UUID) -> Standing | None:
        """How the endpoint stands, its lane locked; None if it is not this holder's any more."""
        row = (await self._connection.execute(_STANDING, {"id": webhook_id, "holder": holder})).first()
        if row is None:
            return None
        condition = Condition(row.failures, row.failing_since, row.failed_at, row.rest_until)
        return Standing(condition, row.url, row.now)

    async def record(self, lane: Lane, end: WaveEnd, *, now: datetime) -> Mapping[int, DeliveryState]:
        """Write down what was tried, and let go what waited behind deliveries that have ended.

        Returns how they stand then, by position: not as follows from the try where somebody has changed them meanwhile.
        """
        if not end.after:
            return {}
        given = _COLUMNS.parameters([_row(one) for one in end.after])
        written = (await self._connection.execute(_RECORD, {**given, "id": lane.webhook_id, "now": now})).all()
        # Also where the endpoint is not ordered: it may have been, or be again by now.
        ended = {row.subject for row in written if row.state != DeliveryState.PENDING}
        await let_go_behind(self._connection, lane.webhook_id, ended)
        if any(row.state == DeliveryState.DELIVERED for row in written):
            await self._connection.execute(_DELIVERED, {"id": lane.webhook_id, "now": now})
        return {row.position: DeliveryState(row.state) for row in written}

    async def give_back(self, lane: Lane, condition: Condition) -> None:
        """Let whoever is next have the endpoint, behind those that wait already."""
        given = {
            "id": lane.webhook_id,
            "failures": condition.failures,
            "failing_since": condition.failing_since,
            "failed_at": condition.failed_at,
            "rest_until": condition.rest_until,
        }
        await self._connection.execute(_GIVE_BACK, given)


async def let_go_behind(connection: AsyncConnection, webhook_id: WebhookId, subjects: Collection[UUID]) -> None:
    """Let the next delivery of each of these subjects go, if it waits behind one that has ended."""
    await connection.execute(_LET_GO, {"id": webhook_id, "subjects": list(subjects)})


def _row(after: After) -> dict[str, object]:
    reply = after.tried.reply
    return {
        "position": after.tried.position,
        "tries": after.tried.tries,
        "state": after.state.value,
        "due_at": after.due_at,
        "status": reply.status,
        "error": reply.error,
        "duration_ms": round(reply.duration.total_seconds() * 1000),
        "excerpt": reply.excerpt,
    }
