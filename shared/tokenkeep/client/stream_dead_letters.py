"""The dead letters of a group that reads the Redis stream: decisions, without input and output."""

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any

from tokenkeep.client.consumer_group import GroupKeys
from tokenkeep.client.dead_letters import DeadLetter
from tokenkeep.client.effects import Command, Effect
from tokenkeep.client.errors import NotAnEvent
from tokenkeep.client.stream_entries import read_event, text

Asking = Generator[Effect, Any, Any]


def list_letters(group: str, limit: int) -> Generator[Effect, Any, Sequence[DeadLetter]]:
    """The oldest letters, so many at most."""
    found = yield Command(("XRANGE", GroupKeys(group).dead, "-", "+", "COUNT", limit))
    return _letters(found)


def find_letter(group: str, letter_id: str) -> Generator[Effect, Any, DeadLetter | None]:
    """The letter of this id, if it is there."""
    letters = _letters((yield Command(("XRANGE", GroupKeys(group).dead, letter_id, letter_id))))
    return letters[0] if letters else None


def discard_letter(group: str, letter_id: str) -> Generator[Effect, Any, bool]:
    """Forget a letter; whether it was there."""
    return bool((yield Command(("XDEL", GroupKeys(group).dead, letter_id))))


def _letters(found: Any) -> list[DeadLetter]:
    return [_letter(text(entry_id), fields) for entry_id, fields in found or ()]


def _letter(letter_id: str, given: Any) -> DeadLetter:
    # redis-py makes a dictionary of the fields.
    pairs = given.items() if isinstance(given, dict) else zip(given[::2], given[1::2], strict=True)
    fields = {text(name): text(value) for name, value in pairs}
    at = datetime.fromtimestamp(int(letter_id.partition("-")[0]) / 1000, UTC)
    try:
        event = read_event([word for pair in fields.items() for word in pair])
    except NotAnEvent:
        event = None
    return DeadLetter(letter_id, event, fields.get("reason", ""), int(fields.get("tries", 0)), at)
