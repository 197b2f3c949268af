"""What becomes of deliveries to webhooks, as log lines and metrics."""

import structlog

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.domain.ids import IdKind, WebhookId, format_id
from tokenkeep.domain.webhook import Webhook
from tokenkeep.domain.webhook_tries import DeliveryState, Tried

_log = structlog.get_logger("tokenkeep.webhooks")


class WebhookTelemetry:
    """Counts tries by what came of them, and logs failures by the webhook's id. Addresses are never logged."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def webhook_tried(self, webhook_id: WebhookId, tried: Tried, state: DeliveryState) -> None:
        """A delivery was tried, and stands like this now."""
        if state is DeliveryState.DELIVERED:
            self._metrics.webhook_delivery_tried("delivered")
            return
        given_up = state is DeliveryState.FAILED
        self._metrics.webhook_delivery_tried("given_up" if given_up else "failed")
        _log.info(
            "webhook_delivery_failed",
            webhook_id=format_id(IdKind.WEBHOOK, webhook_id),
            tries=tried.tries + 1,
            status=tried.reply.status,
            error=None if tried.reply.error is None else tried.reply.error.partition(":")[0],
            given_up=given_up,
        )

    def webhook_disabled(self, webhook: Webhook) -> None:
        """An endpoint is sent nothing any more."""
        reason = "" if webhook.disabled_reason is None else webhook.disabled_reason.value
        self._metrics.webhook_disabled(reason)
        _log.warning("webhook_disabled", webhook_id=format_id(IdKind.WEBHOOK, webhook.id), reason=reason)

    def webhook_lease_lost(self, webhook_id: WebhookId) -> None:
        """What was tried is not written down: somebody else is at this endpoint by now."""
        _log.warning("webhook_lease_lost", webhook_id=format_id(IdKind.WEBHOOK, webhook_id))

    def webhook_too_late(self, webhook_id: WebhookId, count: int) -> None:
        """We came too late to send so many deliveries; they wait for its next turn."""
        _log.warning("webhook_too_late", webhook_id=format_id(IdKind.WEBHOOK, webhook_id), count=count)
