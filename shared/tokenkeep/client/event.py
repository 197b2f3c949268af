"""An event as a consumer is told it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from tokenkeep.client.errors import NotAnEvent


@dataclass(frozen=True, slots=True)
class Event:
    """One fact about an account or a source: a CloudEvent 1.0, read.

    `id` is the same however often the event is told. `sequence` counts the events of `subject` from 1, without gaps.
    `data` tells how the subject stood right after the event. `document` is the whole CloudEvent, with members that this
    version does not know.
    """

    id: str
    type: str
    subject: str
    sequence: int
    time: datetime
    data: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def environment(self) -> str:
        """The environment of the subject."""
        return str(self.data.get("environment", ""))

    @property
    def account_id(self) -> str | None:
        """The account's id; None where the event is about a source."""
        found: str | None = self.data.get("account_id")
        return found

    @property
    def reason(self) -> str | None:
        """Why, where the type has reasons."""
        found: str | None = self.data.get("reason")
        return found

    @property
    def connect_url(self) -> str | None:
        """Where the end user can authorise the account again, if that would help."""
        found: str | None = self.data.get("connect_url")
        return found

    @classmethod
    def read(cls, document: object) -> Self:
        """The event that a CloudEvent's JSON is. Members that are not known are kept in `document`, and no fault.

        Raises:
            NotAnEvent: It lacks what every event of ours has.
        """
        if not isinstance(document, Mapping):
            raise NotAnEvent("it is no JSON object")
        texts = {name: document.get(name) for name in ("id", "type", "subject", "time", "sequence")}
        for name, value in texts.items():
            if not isinstance(value, str) or not value:
                raise NotAnEvent(f"it has no {name}")
        data = document.get("data")
        if not isinstance(data, Mapping):
            raise NotAnEvent("it has no data")
        try:
            time, sequence = datetime.fromisoformat(str(texts["time"])), int(str(texts["sequence"]))
        except ValueError:
            raise NotAnEvent("its time or its sequence is not of the right form") from None
        if time.tzinfo is None:
            raise NotAnEvent("its time has no zone")
        return cls(str(texts["id"]), str(texts["type"]), str(texts["subject"]), sequence, time, data, document)
