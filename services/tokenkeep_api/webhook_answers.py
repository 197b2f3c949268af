"""What answers about webhooks look like: their JSON, and its models for the API's description."""

from datetime import datetime
from typing import Any

from tokenkeep.application.webhooks import DeliveryRecord, WebhookView
from tokenkeep.domain.events import rfc3339
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook import WebhookDisabledReason
from tokenkeep.domain.webhook_tries import DeliveryState, Reply
from tokenkeep_api.answers import Answer


class WebhookDisabledAnswer(Answer):
    """Why and since when a webhook is sent nothing.

    `gone`: its endpoint answered 410. `failing`: it failed for 5 days without one success.
    """

    reason: WebhookDisabledReason
    at: datetime


class WebhookAnswer(Answer):
    """A webhook. `types` null stands for all. `failing_since` is when it began to fail, null if its latest delivery succeeded.

    `delivered_at` is the latest success; `former_secret_until`, if there is one, the end of the secrets before the present one.
    """

    id: str
    environment: str
    url: str
    description: str | None
    types: list[str] | None
    ordered: bool
    enabled: bool
    disabled: WebhookDisabledAnswer | None
    failing_since: datetime | None
    delivered_at: datetime | None
    former_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class NewWebhookAnswer(WebhookAnswer):
    """A webhook with its secret, as it is shown once."""

    secret: str


class DeliveryAnswer(Answer):
    """One event for one webhook, and what came of the latest try.

    `state`: `pending`, `delivered`, `failed` (given up after the last try), `parked` (the webhook was disabled before).
    `next_try_at` null for a pending one: it waits behind another one of its subject. `error` is there where no answer came.
    """

    event_id: str
    type: str
    subject: str | None
    state: DeliveryState
    tries: int
    created_at: datetime
    tried_at: datetime | None
    next_try_at: datetime | None
    http_status: int | None
    error: str | None
    duration_ms: int | None
    response_excerpt: str | None


class TrialAnswer(Answer):
    """What came of a test event. `delivered`: the endpoint answered with a 2xx status."""

    event_id: str
    delivered: bool
    http_status: int | None
    error: str | None
    duration_ms: int
    response_excerpt: str | None


class RedeliveryAnswer(Answer):
    """How many deliveries were made due again. `next_cursor` is where to go on if that was not all."""

    count: int
    next_cursor: str | None


def webhook(view: WebhookView) -> dict[str, Any]:
    """A webhook, without its secret."""
    it = view.webhook
    disabled = None
    if it.disabled_reason is not None and it.disabled_at is not None:
        disabled = {"reason": it.disabled_reason.value, "at": rfc3339(it.disabled_at)}
    return {
        "id": format_id(IdKind.WEBHOOK, it.id),
        "environment": it.environment,
        "url": it.url,
        "description": it.description,
        "types": None if it.types is None else sorted(it.types),
        "ordered": it.ordered,
        "enabled": it.enabled,
        "disabled": disabled,
        "failing_since": _time(view.failing_since),
        "delivered_at": _time(view.delivered_at),
        "former_secret_until": _time(view.former_secret_until),
        "created_at": rfc3339(it.created_at),
        "updated_at": rfc3339(it.updated_at),
    }


def new_webhook(view: WebhookView, secret: Secret) -> dict[str, Any]:
    """A webhook with its secret."""
    document = webhook(view)
    return {"id": document["id"], "secret": secret.reveal(), **document}


def delivery(it: DeliveryRecord) -> dict[str, Any]:
    """A delivery. What it is about is not known any more once its event is deleted."""
    return {
        "event_id": format_id(IdKind.EVENT, it.event_id),
        "type": it.type,
        "subject": None if it.subject_kind is None else format_id(it.subject_kind, it.subject),
        "state": it.state.value,
        "tries": it.tries,
        "created_at": rfc3339(it.created_at),
        "tried_at": _time(it.tried_at),
        "next_try_at": _time(it.due_at),
        "http_status": it.status,
        "error": it.error,
        "duration_ms": it.duration_ms,
        "response_excerpt": it.excerpt,
    }


def trial(event_id: str, reply: Reply) -> dict[str, Any]:
    """What came of a test event."""
    return {
        "event_id": event_id,
        "delivered": reply.is_success,
        "http_status": reply.status,
        "error": reply.error,
        "duration_ms": round(reply.duration.total_seconds() * 1000),
        "response_excerpt": reply.excerpt,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
