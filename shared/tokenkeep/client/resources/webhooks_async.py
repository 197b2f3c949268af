"""`client.webhooks`: addresses that events are delivered to."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from tokenkeep.client.answers.webhooks import Delivery, Redelivery, Trial, Webhook
from tokenkeep.client.calls import (
    UNSET,
    Listing,
    Unset,
    changing,
    creating,
    given,
    identified,
    listing,
    reading,
    removing,
    stated,
)
from tokenkeep.client.performing_asks import AsyncAsker
from tokenkeep.domain.ids import IdKind

_PATH = "/v1/webhooks"


class AsyncWebhooks:
    """Webhooks. Of a client: `client.webhooks`."""

    def __init__(self, ask: AsyncAsker) -> None:
        self._ask = ask

    async def create(
        self,
        url: str,
        *,
        types: Sequence[str] | None = None,
        ordered: bool = False,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Webhook:
        """Have events delivered to an address, from now on. Its `secret` is there this once.

        Args:
            url: An https address.
            types: Which events; `account.disabled` is short for `tokenkeep.account.disabled`. None: all, also those that are yet to come.
            ordered: Of one account's events the next one waits until the last one is delivered or given up.
            description: Whatever you like.
            idempotency_key: One of your own, so that another process may go on where this one died.
        """
        body = given(url=url, types=types, ordered=ordered, description=description)
        return await self._ask(creating(Webhook, _PATH, body, idempotency_key))

    async def get(self, webhook_id: str) -> Webhook:
        """One webhook."""
        return await self._ask(reading(Webhook, _path(webhook_id)))

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> Listing[Webhook]:
        """A page of the environment's webhooks, oldest first."""
        return await self._ask(listing(Webhook, _PATH, limit=limit, cursor=cursor))

    async def iterate(self) -> AsyncIterator[Webhook]:
        """All webhooks of the environment, oldest first."""
        cursor: str | None = None
        while True:
            page = await self.list(limit=200, cursor=cursor)
            for item in page:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    async def update(
        self,
        webhook_id: str,
        *,
        url: str | Unset = UNSET,
        types: Sequence[str] | Unset | None = UNSET,
        ordered: bool | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        description: str | Unset | None = UNSET,
    ) -> Webhook:
        """Change what is given. `types` None stands for all, `description` None takes it away."""
        body = stated(url=url, types=types, ordered=ordered, enabled=enabled, description=description)
        return await self._ask(changing(Webhook, "PATCH", _path(webhook_id), body))

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook, with its deliveries."""
        return await self._ask(removing(_path(webhook_id)))

    async def rotate_secret(
        self, webhook_id: str, *, overlap_s: int | None = None, idempotency_key: str | None = None
    ) -> Webhook:
        """Make a new `secret`. For `overlap_s` seconds, a day, deliveries are signed with the former one as well."""
        path, body = f"{_path(webhook_id)}/rotate-secret", given(overlap_s=overlap_s)
        return await self._ask(creating(Webhook, path, body, idempotency_key))

    async def test(self, webhook_id: str) -> Trial:
        """Send an event `tokenkeep.webhook.test` to this webhook, now, and tell what came back."""
        return await self._ask(changing(Trial, "POST", f"{_path(webhook_id)}/test"))

    async def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        type: str | None = None,  # noqa: A002 - as the API names it
        event_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Listing[Delivery]:
        """A page of what was, is and will be delivered, the latest event first. They are kept for 30 days, or as the installation says."""
        return await self._ask(
            listing(
                Delivery,
                f"{_path(webhook_id)}/deliveries",
                state=state,
                type=type,
                event_id=event_id,
                limit=limit,
                cursor=cursor,
            )
        )

    async def redeliver(
        self,
        webhook_id: str,
        *,
        event_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        types: Sequence[str] | None = None,
        include_delivered: bool | None = None,
        cursor: str | None = None,
    ) -> Redelivery:
        """Deliver once more, with the same ids: one event, or those `since` (included) and `until` (not included)."""
        body = given(
            event_id=event_id,
            since=since,
            until=until,
            types=types,
            include_delivered=include_delivered,
            cursor=cursor,
        )
        return await self._ask(changing(Redelivery, "POST", f"{_path(webhook_id)}/redeliver", body))


def _path(webhook_id: str) -> str:
    return f"{_PATH}/{identified(IdKind.WEBHOOK, webhook_id, 'webhook_id')}"
