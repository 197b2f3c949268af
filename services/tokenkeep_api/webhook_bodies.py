"""What request bodies about webhooks say."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from tokenkeep.application.manage_webhooks import DEFAULT_OVERLAP, LONGEST_OVERLAP, NewWebhook, WebhookChange
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.event_feed import PREFIX, full_type
from tokenkeep.domain.events import EventType
from tokenkeep_api.bodies import Body
from tokenkeep_api.fields import Line, Moment

_NAMES = [name for kind in EventType for name in (kind.value, kind.value.removeprefix(PREFIX))]

TypeName = Annotated[str, WithJsonSchema({"type": "string", "enum": _NAMES})]
Types = Annotated[list[TypeName], Field(min_length=1, max_length=2 * len(EventType))]
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class WebhookBody(Body):
    """A webhook to be made. Without `types`, or with null, it is told of everything, also of types that are yet to come.

    `ordered`: of one account's (source's) events the next one waits until the last one is delivered or given up. `url` is https,
    unless its host is one that the operator allows.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://app.example.com/tokenkeep", "types": ["account.disabled", "account.failing"]},
            ]
        }
    )

    url: Url
    types: Types | None = None
    ordered: bool = False
    description: Line | None = None

    def wanted(self) -> NewWebhook:
        """The webhook that is described."""
        return NewWebhook(self.url, self.description, full_names(self.types), self.ordered)


class WebhookChangeBody(Body):
    """What of a webhook is to be changed. `types` null stands for all of them, `description` null takes it away."""

    url: Url | None = None
    types: Types | None = None
    ordered: bool | None = None
    enabled: bool | None = None
    description: Line | None = None

    @model_validator(mode="after")
    def _something_given(self) -> Self:
        if not self.model_fields_set:
            raise InvalidInput("body", "names nothing that is to be changed")
        for field in sorted(self.model_fields_set - {"types", "description"}):
            if getattr(self, field) is None:
                raise InvalidInput(field, "can't be null")
        return self

    def wanted(self, *, heard_from: int) -> WebhookChange:
        """The change that is described."""
        return WebhookChange(
            url=self.url,
            description=self.description,
            no_description="description" in self.model_fields_set and self.description is None,
            types=full_names(self.types),
            all_types="types" in self.model_fields_set and self.types is None,
            ordered=self.ordered,
            enabled=self.enabled,
            heard_from=heard_from,
        )


class RotationBody(Body):
    """How long, in seconds, former secrets go on signing beside the new one. 0 ends them at once."""

    overlap_s: Annotated[int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()))] = int(
        DEFAULT_OVERLAP.total_seconds()
    )

    @property
    def overlap(self) -> timedelta:
        """The same."""
        return timedelta(seconds=self.overlap_s)


class RedeliveryBody(Body):
    """What is to be delivered once more: one event by its id, or the events of a time.

    `since` is included, `until` is not. Of the webhook's types only `types`, if they are given; what was delivered already only
    with `include_delivered`. `cursor` is a former answer's `next_cursor`; the rest goes along unchanged.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_id": "evt_0193e1a4c1c07d0f8f3c7be4a1b2c3d4"},
                {"since": "2030-01-31T12:00:00Z", "until": "2030-01-31T18:00:00Z"},
            ]
        }
    )

    event_id: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    types: Types | None = None
    include_delivered: bool = False
    cursor: Annotated[str | None, Field(max_length=100, pattern="^[A-Za-z0-9_-]*$")] = None

    @model_validator(mode="after")
    def _one_or_a_span(self) -> Self:
        if (self.event_id is None) == (self.since is None):
            raise InvalidInput("event_id" if self.since else "since", "give either event_id or since")
        if self.event_id is not None:
            for field in sorted(self.model_fields_set - {"event_id"}):
                raise InvalidInput(field, "goes with since only")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise InvalidInput("until", "must be after since")
        return self


def full_names(names: list[str] | None) -> frozenset[str] | None:
    """The types that these names stand for. Raises `InvalidInput`, field `types`, for one that is never sent."""
    try:
        return None if names is None else frozenset(full_type(name) for name in names)
    except InvalidInput as refusal:
        raise InvalidInput("types", refusal.detail) from None
