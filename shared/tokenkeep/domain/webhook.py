"""Webhooks: addresses of users' own to which the events of an environment are delivered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from tokenkeep.domain.events import Event, EventType
from tokenkeep.domain.ids import EventId, IdKind, WebhookId, format_id, new_id

MOST_WEBHOOKS: Final = 100
"""How many webhooks an environment may have."""

TEST_TYPE: Final = "tokenkeep.webhook.test"
"""The type of the event that tries a webhook out. It is sent to that one alone, and no feed tells it."""


class WebhookDisabledReason(StrEnum):
    """Why nothing is sent to a webhook any more."""

    BY_OPERATOR = "by_operator"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is shown; its secret was shown when it was made.

    `types` None stands for all of them, those that are thought up later too. `ordered`: of one subject's events the next one
    waits until the last one is delivered or given up. `heard_from`: it is told the events behind this position of the feed.
    `sequence` counts the events that were told about it.
    """

    id: WebhookId
    environment: str
    url: str
    description: str | None
    types: frozenset[str] | None
    ordered: bool
    disabled_reason: WebhookDisabledReason | None
    disabled_at: datetime | None
    heard_from: int
    sequence: int
    created_at: datetime
    updated_at: datetime

    @property
    def enabled(self) -> bool:
        """Whether events are sent to it."""
        return self.disabled_reason is None


def disable(webhook: Webhook, reason: WebhookDisabledReason, *, now: datetime) -> tuple[Webhook, Event]:
    """The webhook, disabled, and the event that tells it. It must be enabled."""
    changed = replace(webhook, disabled_reason=reason, disabled_at=now, sequence=webhook.sequence + 1, updated_at=now)
    return changed, _event(changed, EventType.WEBHOOK_DISABLED, {"reason": reason.value})


def enable(webhook: Webhook, *, heard_from: int, now: datetime) -> tuple[Webhook, Event]:
    """The webhook, enabled, and the event that tells it. It must be disabled; it is told what happens from now on."""
    changed = replace(
        webhook,
        disabled_reason=None,
        disabled_at=None,
        heard_from=heard_from,
        sequence=webhook.sequence + 1,
        updated_at=now,
    )
    return changed, _event(changed, EventType.WEBHOOK_ENABLED, {})


def trial_event(webhook: Webhook, *, now: datetime) -> Event:
    """An event that tries the webhook out. It counts for nothing: `sequence` is 1 each time."""
    data = {"webhook_id": format_id(IdKind.WEBHOOK, webhook.id), "environment": webhook.environment}
    return Event(
        id=EventId(new_id()),
        type=TEST_TYPE,
        subject=webhook.id,
        subject_kind=IdKind.WEBHOOK,
        environment=webhook.environment,
        sequence=1,
        time=now,
        correlation_id=None,
        data=data,
    )


def _event(webhook: Webhook, event_type: EventType, more: Mapping[str, Any]) -> Event:
    # Not the address: what stands in its path or query is often a secret, and events go to Redis.
    data = {
        "webhook_id": format_id(IdKind.WEBHOOK, webhook.id),
        "environment": webhook.environment,
        "state": "enabled" if webhook.enabled else "disabled",
        **more,
    }
    return Event(
        id=EventId(new_id()),
        type=event_type,
        subject=webhook.id,
        subject_kind=IdKind.WEBHOOK,
        environment=webhook.environment,
        sequence=webhook.sequence,
        time=webhook.updated_at,
        correlation_id=None,
        data=data,
    )
