"""Identifiers: UUIDv7 inside, prefixed text outside.

Inside, an id is a plain `uuid.UUID` of version 7 (RFC 9562, section 5.7), so it sorts by creation time and
fills 16 bytes. Outside, it is the kind's prefix, an underscore and the 32 lower-case hexadecimal digits:
`acc_0193e1a4c1c07d0f8f3c7be4a1b2c3d4`.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7

from tokenkeep.domain.errors import MalformedId

SourceId = NewType("SourceId", UUID)
AccountId = NewType("AccountId", UUID)
AttemptId = NewType("AttemptId", UUID)
EventId = NewType("EventId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
SessionId = NewType("SessionId", UUID)
WebhookId = NewType("WebhookId", UUID)

_HEX_DIGITS = 32
_BITS_BELOW_TIME = 80


class IdKind(StrEnum):
    """The prefix that tells what an id names."""

    SOURCE = "src"
    ACCOUNT = "acc"
    ATTEMPT = "att"
    EVENT = "evt"
    API_KEY = "key"
    SESSION = "ses"
    WEBHOOK = "whk"
    CORRELATION = "cor"


def new_id() -> UUID:
    """A fresh UUIDv7; later ids sort after earlier ones of the same process."""
    return uuid7()


def first_id(moment: datetime) -> UUID:
    """The least id that `new_id` may give at this moment or later."""
    return UUID(int=int(moment.timestamp() * 1000) << _BITS_BELOW_TIME)


def format_id(kind: IdKind, value: UUID) -> str:
    """The public text of an id, such as `acc_0193…`."""
    return f"{kind}_{value.hex}"


def parse_id(kind: IdKind, text: str, *, field: str = "id") -> UUID:
    """The id that a public text names.

    Raises:
        MalformedId: The text is not of this kind's form. The field is named for the caller's sake.
    """
    prefix, separator, digits = text.partition("_")
    if prefix != kind or not separator or len(digits) != _HEX_DIGITS:
        raise MalformedId(field, kind)
    try:
        return UUID(hex=digits)
    except ValueError:
        raise MalformedId(field, kind) from None


def new_correlation_id() -> str:
    """A name for one cause (a tick, a request), carried along everything that follows from it."""
    # The library's own kind of id: each request makes one, and only its text is wanted.
    return f"{IdKind.CORRELATION}_{uuid_utils.uuid7().hex}"
