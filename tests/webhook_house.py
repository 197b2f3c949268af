"""An API with webhooks, and deliverers as workers have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from api_service import Service, data
from feeding import happened, tell
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import IdKind, format_id, parse_id
from tokenkeep.settings import require_database
from tokenkeep_worker.webhooks import WebhookDelivery, wire_webhooks


@dataclass
class Hooks:
    """What tests of webhooks do."""

    service: Service
    sequences: dict[UUID, int] = field(default_factory=dict)

    async def make(self, url: str, **changes: Any) -> tuple[str, str]:
        """A webhook's id and secret."""
        async with self.service.client() as admin:
            made = data(await admin.post("/v1/webhooks", json={"url": url, **changes}), 201)
        return made["id"], made["secret"]

    async def call(self, method: str, webhook_id: str, path: str = "", status: int = 200, **given: Any) -> Any:
        async with self.service.client() as admin:
            answer = await admin.request(method, f"/v1/webhooks/{webhook_id}{path}", **given)
        if status == 204:
            assert answer.status_code == status, answer.text
            return None
        return data(answer, status)

    async def shown(self, webhook_id: str) -> Any:
        return await self.call("GET", webhook_id)

    async def deliveries(self, webhook_id: str, **parameters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.call("GET", webhook_id, "/deliveries", params=parameters)
        return found

    async def happen(self, count: int = 1, *, subject: UUID | None = None, environment: str = "") -> list[Event]:
        """So many events, each of a subject of its own unless one is named."""
        events = []
        for _ in range(count):
            about = subject or uuid4()
            self.sequences[about] = self.sequences.get(about, 0) + 1
            events.append(happened(environment or self.service.environment, self.sequences[about], about))
        await tell(self.service.foundation.database, *events)
        return events

    async def make_due(self, webhook_id: str) -> None:
        """As if the time of every next try had come, and the endpoint's rest were over."""
        parsed = parse_id(IdKind.WEBHOOK, webhook_id)
        await self.service.sql(
            "UPDATE webhook_deliveries SET due_at = now() WHERE webhook_id = :id AND due_at > now()", id=parsed
        )
        await self.service.sql(
            "UPDATE webhook_lanes SET wake_at = now(), rest_until = NULL WHERE webhook_id = :id", id=parsed
        )

    async def put_off(self, webhook_id: str) -> None:
        """As if what has failed were tried again in hours, and not in the five seconds that a slow test may take."""
        await self.service.sql(
            "UPDATE webhook_deliveries SET due_at = now() + interval '10 hours'"
            " WHERE webhook_id = :id AND tries > 0 AND due_at IS NOT NULL",
            id=parse_id(IdKind.WEBHOOK, webhook_id),
        )

    async def pass_time(self, webhook_id: str, span: timedelta) -> None:
        """As if so much time had passed for this webhook's lane and deliveries.

        For both at once: a lane whose time had come before its deliveries' would be found empty, and be put off anew.
        """
        await self.service.sql(
            """WITH passed AS (
                   UPDATE webhook_deliveries SET due_at = due_at - CAST(:span AS interval) WHERE webhook_id = :id)
               UPDATE webhook_lanes SET failing_since = failing_since - CAST(:span AS interval),
                      rest_until = rest_until - CAST(:span AS interval), wake_at = wake_at - CAST(:span AS interval)
                WHERE webhook_id = :id""",
            id=parse_id(IdKind.WEBHOOK, webhook_id),
            span=span,
        )

    async def until(self, webhook_id: str, *, state: str, count: int = 1, timeout_s: float = 30) -> None:
        """Wait until so many deliveries stand like this."""
        parsed = parse_id(IdKind.WEBHOOK, webhook_id)
        statement = "SELECT count(*) AS n FROM webhook_deliveries WHERE webhook_id = :id AND state = :state"
        async with asyncio.timeout(timeout_s):
            while (await self.service.sql(statement, id=parsed, state=state))[0]["n"] < count:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)

    async def tried(self, webhook_id: str, times: int, timeout_s: float = 30) -> None:
        """Wait until deliveries to it were tried so often, all together."""
        parsed = parse_id(IdKind.WEBHOOK, webhook_id)
        statement = "SELECT coalesce(sum(tries), 0) AS n FROM webhook_deliveries WHERE webhook_id = :id"
        async with asyncio.timeout(timeout_s):
            while (await self.service.sql(statement, id=parsed))[0]["n"] < times:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)

    async def given(self) -> None:
        """Wait until everything that has happened was given to whoever wants it."""
        async with asyncio.timeout(30):
            settled = await self.service.wired.event_tail.settle()
            while (await self.service.sql("SELECT position FROM webhook_cursor"))[0]["position"] < settled:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)


@asynccontextmanager
async def delivering(service: Service, **changes: object) -> AsyncIterator[WebhookDelivery]:
    """A deliverer, as a worker of its own would have it, with settings changed."""
    settings = service.foundation.settings.model_copy(update=changes)
    delivery = wire_webhooks(replace(service.foundation, settings=settings), service.sealer.vault)
    listener = Listener(require_database(settings), OUTBOX_CHANNEL, delivery.notice)
    delivery.start()
    listener.start()
    try:
        yield delivery
    finally:
        await listener.stop()
        await delivery.stop()


def public(event: Event) -> str:
    """An event's id as the outside knows it."""
    return format_id(IdKind.EVENT, event.id)
