"""Cursors of the feed of events, as callers keep them: opaque, and good for as long as events are kept."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.event_feed import CHECK_BYTES, Place

NOW = "now"
_FORM = b"\x01"
_POSITION_BYTES = 8
_SIZE = len(_FORM) + _POSITION_BYTES + CHECK_BYTES


def cursor_text(place: Place) -> str:
    """The cursor that stands for a place."""
    raw = _FORM + place.position.to_bytes(_POSITION_BYTES, "big") + place.check
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def place_of(cursor: str, field: str) -> Place:
    """The place that a cursor stands for. Raises `InvalidInput` when it is none of ours; `field` is where it was given."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    position = int.from_bytes(raw[len(_FORM) : -CHECK_BYTES], "big")
    if len(raw) != _SIZE or not raw.startswith(_FORM) or position >= 1 << 63:
        raise InvalidInput(field, "is not a cursor of the feed of events")
    return Place(position, raw[-CHECK_BYTES:])
