"""Have events delivered once more: one of them, or those of a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.webhooks import Span
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import WebhookDisabled
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import EventId, IdKind, WebhookId, format_id
from tokenkeep.domain.webhook import Webhook

ENOUGH: Final = 10_000
"""After so many deliveries, or seconds, a call tells where to go on."""
_LONGEST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RedeliverEvents:
    """Makes deliveries due again, with all their tries before them. Their ids stay the same."""

    works: Works
    clock: Callable[[], float]

    async def one(self, caller: Caller, webhook_id: WebhookId, event_id: EventId) -> int:
        """Returns 1.

        Raises:
            NotFound: There is no such webhook in this environment, or no delivery of this event to it.
            WebhookDisabled: It is disabled.
        """
        async with self.works() as work:
            await _enabled(work, caller, webhook_id)
            if not await work.webhooks.redeliver(webhook_id, event_id):
                raise NotFound("delivery")
            await _audit(work, caller, webhook_id)
        return 1

    async def of_span(self, caller: Caller, webhook_id: WebhookId, span: Span) -> tuple[int, int | None]:
        """How many deliveries that makes, and the position to go on from if that was not all.

        Events that the webhook was never to be told are among them: of before it was made, and of while it was disabled.

        Raises:
            NotFound: There is no such webhook in this environment.
            WebhookDisabled: It is disabled.
        """
        async with self.works() as work:
            webhook = await _enabled(work, caller, webhook_id)
            await _audit(work, caller, webhook_id)
        async with self.works() as work:
            after, until = await work.webhooks.span_of(webhook, span)
        begun, total = self.clock(), 0
        going_on: int | None = after
        while going_on is not None and total < ENOUGH and self.clock() - begun < _LONGEST_S:
            async with self.works() as work:
                webhook = await _enabled(work, caller, webhook_id)
                count, going_on = await work.webhooks.deliver_again(webhook, span, after=going_on, until=until)
            total += count
        return total, going_on


async def _enabled(work: Work, caller: Caller, webhook_id: WebhookId) -> Webhook:
    webhook = await work.webhooks.lock(webhook_id, caller.environment)
    if webhook is None:
        raise NotFound("webhook")
    if not webhook.enabled:
        raise WebhookDisabled
    return webhook


async def _audit(work: Work, caller: Caller, webhook_id: WebhookId) -> None:
    await work.audit(AuditEntry(caller, "webhook.redeliver", format_id(IdKind.WEBHOOK, webhook_id)))
