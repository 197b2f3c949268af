"""The facts that are told to the outside, as CloudEvents 1.0."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tokenkeep.domain.account import Account
from tokenkeep.domain.ids import EventId, IdKind, format_id


class EventType(StrEnum):
    """Every type of event that we send."""

    CREATED = "tokenkeep.account.created"
    ACTIVATED = "tokenkeep.account.activated"
    REFRESHED = "tokenkeep.account.refreshed"
    FAILING = "tokenkeep.account.failing"
    RECOVERED = "tokenkeep.account.recovered"
    IN_DOUBT = "tokenkeep.account.in_doubt"
    TOKEN_REJECTED = "tokenkeep.account.token_rejected"  # noqa: S105 - the name of an event
    EXPIRING = "tokenkeep.account.expiring"
    DISABLED = "tokenkeep.account.disabled"
    ENABLED = "tokenkeep.account.enabled"
    REAUTHORIZED = "tokenkeep.account.reauthorized"
    RELEASED = "tokenkeep.account.released"
    DELETED = "tokenkeep.account.deleted"
    SOURCE_PAUSED = "tokenkeep.source.paused"
    SOURCE_RESUMED = "tokenkeep.source.resumed"
    WEBHOOK_DISABLED = "tokenkeep.webhook.disabled"
    WEBHOOK_ENABLED = "tokenkeep.webhook.enabled"


@dataclass(frozen=True, slots=True)
class Happening:
    """One fact about one account, as the function that decided it states it.

    `ends_at` is the end that the fact is about; without one, the event's `expires_at` is the access token's.
    """

    type: EventType
    reason: str | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact with its place in its subject's history. `sequence` counts from 1, without gaps.

    `traceparent` (W3C Trace Context) is where the trace of its cause goes on; None if nobody follows it.
    """

    id: EventId
    type: str
    subject: UUID
    subject_kind: IdKind
    environment: str
    sequence: int
    time: datetime
    correlation_id: str | None
    data: Mapping[str, Any]
    traceparent: str | None = None


def account_event(
    event_id: EventId,
    happening: Happening,
    account: Account,
    *,
    sequence: int,
    expires_at: datetime | None,
    time: datetime,
    correlation_id: str | None,
    connect_url: str | None = None,
) -> Event:
    """The event that tells a happening of an account, with the account as it stood right after it.

    Of a deleted account nothing stands any more; its state is told as `deleted`. `connect_url` is where the end user can
    authorise it again.
    """
    state = "deleted" if happening.type is EventType.DELETED else account.state.value
    data: dict[str, Any] = {
        "account_id": format_id(IdKind.ACCOUNT, account.id),
        "source_id": format_id(IdKind.SOURCE, account.source_id),
        "provider": account.provider,
        "environment": account.environment,
        "external_id": account.external_id,
        "state": state,
    }
    if happening.reason is not None:
        data["reason"] = happening.reason
    if connect_url is not None:
        data["connect_url"] = connect_url
    if expires_at is not None:
        data["expires_at"] = rfc3339(expires_at)
    return Event(
        id=event_id,
        type=happening.type,
        subject=account.id,
        subject_kind=IdKind.ACCOUNT,
        environment=account.environment,
        sequence=sequence,
        time=time,
        correlation_id=correlation_id,
        data=data,
    )


_MEMBERS = (
    "account_id",
    "webhook_id",
    "source_id",
    "provider",
    "environment",
    "external_id",
    "state",
    "reason",
    "connect_url",
    "expires_at",
)
"""The members of an event's data in the order of the contract; the database keeps them in one of its own."""


_OFFSET = len("+00:00")


def rfc3339(moment: datetime) -> str:
    """A time as RFC 3339 text in UTC with `Z`. Expects an aware datetime."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-_OFFSET] + "Z"


def cloudevent(event: Event) -> dict[str, Any]:
    """The event as a CloudEvents 1.0 object in JSON form.

    `sequence` is the CloudEvents extension of that name, a text. `correlationid` ties the event to the request or
    scheduler tick that caused it; `traceparent` is the extension for distributed tracing, there only while that is on.
    """
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": format_id(IdKind.EVENT, event.id),
        "source": f"tokenkeep/{event.environment}",
        "type": str(event.type),
        "subject": format_id(event.subject_kind, event.subject),
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "sequence": str(event.sequence),
        "data": {name: event.data[name] for name in (*_MEMBERS, *event.data) if name in event.data},
    }
    if event.correlation_id is not None:
        document["correlationid"] = event.correlation_id
    if event.traceparent is not None:
        document["traceparent"] = event.traceparent
    return document
