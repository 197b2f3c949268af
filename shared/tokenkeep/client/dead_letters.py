"""Events that were given up, and what can be done with them."""

import json
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from tokenkeep.client.cursor_stores import write_whole
from tokenkeep.client.errors import NotAnEvent
from tokenkeep.client.event import Event


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up. `id` names the letter; `event` is None where what was read is no event.

    `tries`: how often a handler had it.
    """

    id: str
    event: Event | None
    reason: str
    tries: int
    at: datetime

    def readable_event(self) -> Event:
        """The event. Raises `NotAnEvent` if there is none: all that is left is to discard the letter."""
        if self.event is None:
            raise NotAnEvent(self.reason)
        return self.event


class DeadLetterBox(Protocol):
    """Takes what readers of the feed give up."""

    def put(self, group: str, letter: DeadLetter) -> None:
        """Keep the letter. When this returns, it is safe; the same one may come again."""


class AsyncDeadLetterBox(Protocol):
    """As `DeadLetterBox`, for an event loop."""

    def put(self, group: str, letter: DeadLetter) -> Awaitable[None]:
        """Keep the letter. When this returns, it is safe; the same one may come again."""


class FileDeadLetters:
    """Keeps each letter in a file of its own, in a directory for each group."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)

    def put(self, group: str, letter: DeadLetter) -> None:
        """Keep the letter, under its event's id."""
        event = letter.readable_event()
        document = {
            "reason": letter.reason,
            "tries": letter.tries,
            "at": letter.at.isoformat(),
            "event": dict(event.document),
        }
        place = self._place(group)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / f"{_file_name(event.id)}.json", json.dumps(document, indent=2))

    def list(self, group: str) -> Sequence[DeadLetter]:
        """The letters, oldest first."""
        letters = [_read(path) for path in self._place(group).glob("*.json")]
        return sorted(letters, key=lambda letter: letter.at)

    def discard(self, group: str, letter_id: str) -> bool:
        """Forget a letter. False: there is none of this id."""
        path = self._place(group) / f"{_file_name(letter_id)}.json"
        found = path.exists()
        path.unlink(missing_ok=True)
        return found

    def _place(self, group: str) -> Path:
        return self._directory / f"{group}.dead"


def new_letter(event: Event, reason: str, tries: int) -> DeadLetter:
    """The letter of an event that is given up now."""
    return DeadLetter(event.id, event, reason, tries, datetime.now(UTC))


def _file_name(letter_id: str) -> str:
    if not letter_id.replace("_", "").isalnum():
        raise NotAnEvent("its id is none of ours")
    return letter_id


def _read(path: Path) -> DeadLetter:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    event = Event.read(document["event"])
    at = datetime.fromisoformat(document["at"])
    return DeadLetter(event.id, event, document["reason"], document["tries"], at)
