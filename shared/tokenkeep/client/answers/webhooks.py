"""Outgoing webhooks and their deliveries."""

from dataclasses import dataclass, field
from datetime import datetime

from tokenkeep.client.reading import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDisabled(Answer):
    """Why and since when a webhook is sent nothing: `gone` or `failing`, or who disabled it."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Answer):
    """A webhook. `types` None stands for all. `failing_since`: since when it fails; None if its latest delivery succeeded.

    `secret` is there only where it was made just now, and in no repr.
    """

    id: str
    environment: str
    url: str
    description: str | None = None
    types: tuple[str, ...] | None = None
    ordered: bool
    enabled: bool
    disabled: WebhookDisabled | None = None
    failing_since: datetime | None = None
    delivered_at: datetime | None = None
    former_secret_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Answer):
    """One event for one webhook, and what came of the latest try. `state`: see `DeliveryState`."""

    event_id: str
    type: str
    subject: str | None = None
    state: str
    tries: int
    created_at: datetime
    tried_at: datetime | None = None
    next_try_at: datetime | None = None
    http_status: int | None = None
    error: str | None = None
    duration_ms: int | None = None
    response_excerpt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Answer):
    """What came of a test event. `delivered`: the endpoint answered with a 2xx status."""

    event_id: str
    delivered: bool
    http_status: int | None = None
    error: str | None = None
    duration_ms: int
    response_excerpt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery(Answer):
    """How many deliveries were made due again. `next_cursor` is where to go on, if that was not all."""

    count: int
    next_cursor: str | None = None
