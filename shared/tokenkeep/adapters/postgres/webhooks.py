"""Webhooks: made, changed, given new secrets, deleted; and their deliveries, listed and asked for again.

Whoever changes a webhook holds its lane first, then its row, as those do who deliver to it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.schema import WebhookLaneRow, WebhookRow, WebhookSecretRow
from tokenkeep.adapters.postgres.webhook_deliveries import deliver_again, span_of
from tokenkeep.application.webhooks import SealedSecret, Span, WebhookView
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import EventId, WebhookId
from tokenkeep.domain.webhook import Webhook, WebhookDisabledReason

_MOST_SECRETS = 5
PARKED_AT_ONCE = 2_000
"""How many deliveries one transaction puts aside: so few that nobody waits long for their webhook."""

_VIEW = """
SELECT w.*, l.failing_since, l.delivered_at,
       (SELECT max(valid_until) FROM webhook_secrets AS s
         WHERE s.webhook_id = w.id AND s.valid_until > clock_timestamp()) AS former_secret_until
  FROM webhooks AS w JOIN webhook_lanes AS l ON l.webhook_id = w.id
"""
_GET = text(f"{_VIEW} WHERE w.id = :id AND w.environment = :environment")
_LIST = text(f"""
{_VIEW} WHERE w.environment = :environment AND (CAST(:after AS uuid) IS NULL OR w.id > CAST(:after AS uuid))
 ORDER BY w.id LIMIT :limit
""")
_LOCK_LANE = text("""
SELECT l.webhook_id FROM webhook_lanes AS l JOIN webhooks AS w ON w.id = l.webhook_id
 WHERE l.webhook_id = :id AND (CAST(:environment AS text) IS NULL OR w.environment = :environment)
   FOR NO KEY UPDATE OF l
""")
_SECRETS = text("""
SELECT version, ciphertext, valid_until FROM webhook_secrets
 WHERE webhook_id = :id AND (valid_until IS NULL OR valid_until > clock_timestamp()) ORDER BY version DESC
""")
_END_FORMER = text("""
UPDATE webhook_secrets SET valid_until = LEAST(valid_until, :until) WHERE webhook_id = :id
""")
_FORGET_FORMER = text(f"""
DELETE FROM webhook_secrets
 WHERE webhook_id = :id AND (valid_until <= clock_timestamp() OR version <= :version - {_MOST_SECRETS})
""")  # noqa: S608 - only our own number is put in
PARK = text(f"""
UPDATE webhook_deliveries SET state = 'parked', due_at = NULL
 WHERE webhook_id = :id AND state = 'pending'
   AND position <= LEAST(CAST(:through AS bigint), (
       SELECT position FROM webhook_deliveries WHERE webhook_id = :id AND state = 'pending'
        ORDER BY position OFFSET {PARKED_AT_ONCE - 1} LIMIT 1))
""")  # noqa: S608 - only our own number is put in
"""Puts aside some of what a webhook was not sent, the oldest first, up to a position.

A span and no join: whatever the planner believes of a backlog that its statistics do not know, each row is looked at once.
"""
_PARKED = text("""
UPDATE webhook_lanes
   SET wake_at = NULL, failures = 0, failing_since = NULL, failed_at = NULL, rest_until = NULL,
       parking_through = CASE WHEN EXISTS (SELECT FROM webhook_deliveries
                                            WHERE webhook_id = :id AND state = 'pending' AND position <= CAST(:through AS bigint))
                              THEN CAST(:through AS bigint) END
 WHERE webhook_id = :id
""")
_THROUGH = text(
    "SELECT coalesce(max(position), 0) FROM webhook_deliveries WHERE webhook_id = :id AND state <> 'delivered'"
)
_AFRESH = text("""
UPDATE webhook_lanes
   SET wake_at = clock_timestamp(), failures = 0, failing_since = NULL, failed_at = NULL, rest_until = NULL
 WHERE webhook_id = :id
""")
_WAKE = text("UPDATE webhook_lanes SET wake_at = clock_timestamp(), rest_until = NULL WHERE webhook_id = :id")
_REDELIVER = text("""
UPDATE webhook_deliveries SET state = 'pending', due_at = clock_timestamp(), tries = 0
 WHERE webhook_id = :id AND event_id = :event_id
""")
_TELL = text(f"SELECT pg_notify('{OUTBOX_CHANNEL}', '')")


class PostgresWebhooks:
    """Webhooks over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count(self, environment: str) -> int:
        """How many there are in this environment."""
        statement = select(func.count()).select_from(WebhookRow).where(WebhookRow.environment == environment)
        return int((await self._connection.execute(statement)).scalar_one())

    async def add(self, webhook: Webhook, key: SealedKey, secret: SealedSecret) -> None:
        """A new webhook, its secret sealed under a data key of its own."""
        row = {
            "id": webhook.id,
            "environment": webhook.environment,
            "heard_from": webhook.heard_from,
            "key_id": key.key_id,
            "wrapped_key": key.wrapped,
            "created_at": webhook.created_at,
            **_changeable(webhook),
        }
        await self._connection.execute(insert(WebhookRow), row)
        await self._connection.execute(insert(WebhookLaneRow), {"webhook_id": webhook.id})
        await self._add_secret(webhook.id, secret)
        await self._connection.execute(_TELL)

    async def view(self, webhook_id: WebhookId, environment: str) -> WebhookView | None:
        """A webhook of this environment."""
        row = (await self._connection.execute(_GET, {"id": webhook_id, "environment": environment})).first()
        return None if row is None else _view_from(row)

    async def list(self, environment: str, *, after: UUID | None, limit: int) -> Sequence[WebhookView]:
        """The webhooks of this environment, oldest first; `after` is the id to go on from."""
        given = {"environment": environment, "after": after, "limit": limit}
        return [_view_from(row) for row in await self._connection.execute(_LIST, given)]

    async def lock(self, webhook_id: WebhookId, environment: str | None = None) -> Webhook | None:
        """A webhook under row locks, its lane's too; of this environment only, if one is given."""
        given = {"id": webhook_id, "environment": environment}
        if (await self._connection.execute(_LOCK_LANE, given)).first() is None:
            return None
        statement = select(WebhookRow.__table__).where(WebhookRow.id == webhook_id).with_for_update(key_share=True)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else webhook_from(row)

    async def save(self, webhook: Webhook) -> None:
        """Write what may change of a locked webhook."""
        changed = update(WebhookRow).where(WebhookRow.id == webhook.id)
        await self._connection.execute(changed.values(heard_from=webhook.heard_from, **_changeable(webhook)))

    async def delete(self, webhook_id: WebhookId) -> None:
        """Delete a locked webhook. Housekeeping deletes its deliveries, and then its lane."""
        await self._connection.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))
        buried = update(WebhookLaneRow).where(WebhookLaneRow.webhook_id == webhook_id)
        await self._connection.execute(buried.values(wake_at=None, deleted_at=func.clock_timestamp()))

    async def key(self, webhook_id: WebhookId) -> SealedKey:
        """The data key that its secrets are sealed under."""
        statement = select(WebhookRow.key_id, WebhookRow.wrapped_key).where(WebhookRow.id == webhook_id)
        row = (await self._connection.execute(statement)).one()
        return SealedKey(row.key_id, row.wrapped_key)

    async def secrets(self, webhook_id: WebhookId) -> Sequence[SealedSecret]:
        """The secrets that are valid, newest first."""
        return await valid_secrets(self._connection, webhook_id)

    async def rotate(self, webhook_id: WebhookId, secret: SealedSecret, *, former_until: datetime) -> None:
        """Put a new secret before the others, whose time ends then, if it did not before."""
        await self._connection.execute(_END_FORMER, {"id": webhook_id, "until": former_until})
        await self._connection.execute(_FORGET_FORMER, {"id": webhook_id, "version": secret.version})
        await self._add_secret(webhook_id, secret)

    async def park(self, webhook_id: WebhookId) -> None:
        """Put aside what a locked webhook was not sent. A worker goes on where that is too much for one transaction."""
        through = (await self._connection.execute(_THROUGH, {"id": webhook_id})).scalar_one()
        await self._connection.execute(PARK, {"id": webhook_id, "through": through})
        await self._connection.execute(_PARKED, {"id": webhook_id, "through": through})

    async def is_parking(self, webhook_id: WebhookId) -> bool:
        """Whether something is left to be put aside."""
        statement = select(WebhookLaneRow.parking_through).where(WebhookLaneRow.webhook_id == webhook_id)
        return (await self._connection.execute(statement)).scalar_one() is not None

    async def start_afresh(self, webhook_id: WebhookId) -> None:
        """Forget how a locked webhook has answered, and look soon what is to be sent to it."""
        await self._connection.execute(_AFRESH, {"id": webhook_id})
        await self._connection.execute(_TELL)

    async def redeliver(self, webhook_id: WebhookId, event_id: EventId) -> bool:
        """Have an event delivered once more to a locked webhook; False if it never was to be."""
        found = await self._connection.execute(_REDELIVER, {"id": webhook_id, "event_id": event_id})
        if not found.rowcount:
            return False
        await self._wake(webhook_id)
        return True

    async def span_of(self, webhook: Webhook, span: Span) -> tuple[int, int]:
        """Between which positions the events of a span lie: behind the first, up to the second."""
        return await span_of(self._connection, webhook, span)

    async def deliver_again(self, webhook: Webhook, span: Span, *, after: int, until: int) -> tuple[int, int | None]:
        """Have some events of a span delivered to a locked webhook; returns how many, and where to go on if that was not all."""
        count, going_on = await deliver_again(self._connection, webhook, span, after=after, until=until)
        if count:
            await self._wake(webhook.id)
        return count, going_on

    async def _wake(self, webhook_id: WebhookId) -> None:
        await self._connection.execute(_WAKE, {"id": webhook_id})
        await self._connection.execute(_TELL)

    async def _add_secret(self, webhook_id: WebhookId, secret: SealedSecret) -> None:
        row = {"webhook_id": webhook_id, "version": secret.version, "ciphertext": secret.ciphertext}
        await self._connection.execute(insert(WebhookSecretRow), row)


async def valid_secrets(connection: AsyncConnection, webhook_id: WebhookId) -> list[SealedSecret]:
    """A webhook's secrets that are valid now, newest first."""
    rows = await connection.execute(_SECRETS, {"id": webhook_id})
    return [SealedSecret(row.version, row.ciphertext, row.valid_until) for row in rows]


def _changeable(webhook: Webhook) -> dict[str, Any]:
    return {
        "url": webhook.url,
        "description": webhook.description,
        "types": None if webhook.types is None else sorted(webhook.types),
        "ordered": webhook.ordered,
        "disabled_reason": None if webhook.disabled_reason is None else webhook.disabled_reason.value,
        "disabled_at": webhook.disabled_at,
        "event_sequence": webhook.sequence,
        "updated_at": webhook.updated_at,
    }


def webhook_from(row: Row[Any]) -> Webhook:
    """The webhook that a row of `webhooks` holds."""
    return Webhook(
        id=WebhookId(row.id),
        environment=row.environment,
        url=row.url,
        description=row.description,
        types=None if row.types is None else frozenset(row.types),
        ordered=row.ordered,
        disabled_reason=None if row.disabled_reason is None else WebhookDisabledReason(row.disabled_reason),
        disabled_at=row.disabled_at,
        heard_from=row.heard_from,
        sequence=row.event_sequence,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _view_from(row: Row[Any]) -> WebhookView:
    return WebhookView(webhook_from(row), row.failing_since, row.delivered_at, row.former_secret_until)
