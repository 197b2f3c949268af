"""Endpoints that wait for their turn, and what is to be sent to them.

An endpoint is claimed, not a delivery: however many deliveries one has, it is one row among those that wait. What is claimed
is looked up by the endpoint and the time, so the backlog of another one costs nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import event_from_row
from tokenkeep.adapters.postgres.webhook_turns import let_go_behind
from tokenkeep.adapters.postgres.webhooks import PARK, PARKED_AT_ONCE, valid_secrets
from tokenkeep.application.webhooks import Lane, ToDeliver, Wave
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import WebhookId, new_id

_LOOKED_AT: Final = 200
"""How many deliveries of an ordered endpoint are looked at for those that wait behind none."""
_LET_GO_AT_ONCE: Final = 1_000
_FAILING: Final = 3
"""From so many failures in a row an endpoint waits among those that fail, and is sent one delivery at a time."""

_CLAIM = text(f"""
UPDATE webhook_lanes AS l
   SET holder = :holder, lease_until = clock_timestamp() + make_interval(secs => :lease_s)
  FROM (SELECT c.webhook_id, w.url, w.ordered, w.key_id, w.wrapped_key
          FROM webhook_lanes AS c JOIN webhooks AS w ON w.id = c.webhook_id
         WHERE c.wake_at <= clock_timestamp() AND w.disabled_reason IS NULL AND c.parking_through IS NULL
           AND (c.rest_until IS NULL OR c.rest_until <= clock_timestamp())
           AND (c.lease_until IS NULL OR c.lease_until <= clock_timestamp())
           AND (c.failures >= {_FAILING}) = CAST(:failing AS boolean)
         ORDER BY c.wake_at LIMIT :limit FOR NO KEY UPDATE OF c SKIP LOCKED) AS due
 WHERE l.webhook_id = due.webhook_id
RETURNING l.webhook_id, due.url, due.ordered, due.key_id, due.wrapped_key
""")  # noqa: S608 - only our own number is put in
# A delivery of an ordered endpoint waits behind others of its subject. One whose event is deleted has nothing to be sent.
_WAVE = text("""
WITH due AS MATERIALIZED (
    SELECT d.position, d.tries, d.due_at, d.subject AS about,
           CAST(:ordered AS boolean) AND EXISTS (
               SELECT FROM webhook_deliveries AS p WHERE p.webhook_id = d.webhook_id AND p.subject = d.subject
                  AND p.state = 'pending' AND p.position < d.position) AS behind,
           e.id, e.subject, e.subject_kind, e.environment, e.sequence, e.type, e.time, e.correlation_id, e.data, e.traceparent
      FROM webhook_deliveries AS d LEFT JOIN events AS e ON e.position = d.position AND e.id = d.event_id
     WHERE d.webhook_id = :id AND d.state = 'pending' AND d.due_at <= clock_timestamp()
     ORDER BY d.due_at, d.position LIMIT :looked_at
), changed AS (
    UPDATE webhook_deliveries AS d
       SET due_at = NULL, state = CASE WHEN due.behind THEN d.state ELSE 'failed' END,
           error = CASE WHEN due.behind THEN d.error ELSE 'the event is no longer kept' END
      FROM due WHERE d.webhook_id = :id AND d.position = due.position AND (due.behind OR due.id IS NULL)
)
(SELECT * FROM due WHERE NOT behind AND id IS NOT NULL ORDER BY due_at, position LIMIT :size)
UNION ALL
SELECT * FROM due WHERE NOT behind AND id IS NULL
""")
# Of those that wait behind others: all where the endpoint is not ordered any more. Where it is, whoever they wait for lets
# them go; only if nobody is left who could, those go that are behind none.
_LET_GO = text("""
UPDATE webhook_deliveries AS d SET due_at = clock_timestamp()
 WHERE d.webhook_id = :id AND d.state = 'pending' AND d.position = ANY (ARRAY(
       SELECT c.position FROM webhook_deliveries AS c
        WHERE c.webhook_id = :id AND c.state = 'pending' AND c.due_at IS NULL
          AND (NOT CAST(:ordered AS boolean) OR (
                   NOT EXISTS (SELECT FROM webhook_deliveries WHERE webhook_id = :id AND state = 'pending'
                                  AND due_at IS NOT NULL)
                   AND NOT EXISTS (SELECT FROM webhook_deliveries AS p WHERE p.webhook_id = c.webhook_id
                                      AND p.subject = c.subject AND p.state = 'pending' AND p.position < c.position)))
        LIMIT :most))
""")
_PUT_OFF = text("""
UPDATE webhook_lanes
   SET holder = NULL, lease_until = NULL, rest_until = clock_timestamp() + make_interval(secs => :wait_s)
 WHERE webhook_id = :id AND holder = :holder
""")
_PARKING = text("""
SELECT webhook_id, parking_through FROM webhook_lanes
 WHERE parking_through IS NOT NULL AND deleted_at IS NULL LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
_PARKED = text("UPDATE webhook_lanes SET parking_through = NULL, wake_at = clock_timestamp() WHERE webhook_id = :id")


class PostgresLanes:
    """Claims, and what was claimed. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, healthy: int, failing: int, lease: timedelta) -> Sequence[Lane]:
        """Endpoints with something to send, those first that have waited longest; of those that fail so many apart."""
        async with self._database.transaction() as connection:
            lanes: list[Lane] = []
            for is_failing, limit in ((False, healthy), (True, failing)):
                if limit > 0:
                    lanes += await _claimed(connection, is_failing, limit, lease)
            return lanes

    async def wave(self, lane: Lane, *, size: int) -> Wave:
        """What is to be sent to the endpoint now."""
        looked_at = _LOOKED_AT if lane.ordered else size
        given = {"id": lane.webhook_id, "ordered": lane.ordered, "looked_at": looked_at, "size": size}
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_WAVE, given)).mappings().all()
            ended = [row["about"] for row in rows if row["id"] is None]
            if ended and lane.ordered:
                await let_go_behind(connection, lane.webhook_id, ended)
            if not rows:
                # The turn's end sets when the endpoint is looked at again.
                waiting = {"id": lane.webhook_id, "ordered": lane.ordered, "most": _LET_GO_AT_ONCE}
                await connection.execute(_LET_GO, waiting)
            secrets = await valid_secrets(connection, lane.webhook_id)
        found = [row for row in rows if row["id"] is not None]
        return Wave([ToDeliver(row["position"], row["tries"], event_from_row(row)) for row in found], secrets)

    async def put_off(self, lane: Lane, wait: timedelta) -> None:
        """Give the endpoint back, to be left alone for a while."""
        given = {"id": lane.webhook_id, "holder": lane.holder, "wait_s": wait.total_seconds()}
        async with self._database.transaction() as connection:
            await connection.execute(_PUT_OFF, given)

    async def park_some(self) -> bool:
        """Go on putting aside what a disabled endpoint was not sent; whether there may be more to put aside."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_PARKING)).first()
            if row is None:
                return False
            given = {"id": row.webhook_id, "through": row.parking_through}
            if (await connection.execute(PARK, given)).rowcount < PARKED_AT_ONCE:
                await connection.execute(_PARKED, {"id": row.webhook_id})
        return True


async def _claimed(connection: AsyncConnection, is_failing: bool, limit: int, lease: timedelta) -> list[Lane]:  # noqa: FBT001 - one of two kinds
    # A name for this turn alone: a worker that claims an endpoint anew must not be taken for itself of before.
    holder = new_id()
    given = {"holder": holder, "lease_s": lease.total_seconds(), "failing": is_failing, "limit": limit}
    return [
        Lane(
            webhook_id=WebhookId(row.webhook_id),
            holder=holder,
            url=row.url,
            ordered=row.ordered,
            failing=is_failing,
            sealed_key=SealedKey(row.key_id, row.wrapped_key),
        )
        for row in await connection.execute(_CLAIM, given)
    ]
