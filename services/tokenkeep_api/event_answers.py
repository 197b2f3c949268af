"""What answers about events look like, for the API's description."""

from datetime import datetime
from typing import Any, Literal

from tokenkeep.application.accept_events import ReceptionStatus
from tokenkeep.domain.events import EventType
from tokenkeep_api.answers import Answer


class EventAnswer(Answer):
    """A CloudEvent, version 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: EventType
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    sequence: str
    data: dict[str, Any]
    correlationid: str | None = None
    traceparent: str | None = None


class FeedAnswer(Answer):
    """Events, oldest first. `next_cursor` is where to go on; it moves on without events, past those that a filter left out."""

    data: list[EventAnswer]
    next_cursor: str


class ReceptionAnswer(Answer):
    """How one event was received. `accepted`: it is kept, and has its effect soon. `duplicate`: it was before.

    One that was `rejected` has `code` and `detail`, and the `field` that is at fault. `source` and `id` are as they were given.
    """

    source: str | None
    id: str | None
    status: ReceptionStatus
    code: str | None = None
    detail: str | None = None
    field: str | None = None
