"""The kinds of members that request bodies are made of. No complaint quotes what was given."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, Field, PlainValidator, StringConstraints, WithJsonSchema

from tokenkeep.domain.secret import Secret

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_MICROSECONDS = re.compile(r"(\.[0-9]{6})[0-9]+")
_LONGEST_SECRET = 32_768
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_TEN_YEARS_S = 315_360_000


def moment(value: object) -> datetime:
    """An RFC 3339 time, in UTC. Digits beyond microseconds are dropped."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        msg = "should be a time such as 2030-01-31T12:00:00Z"
        raise ValueError(msg)
    try:
        read = datetime.fromisoformat(_MICROSECONDS.sub(r"\1", value.upper())).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = "should be a time that exists"
        raise ValueError(msg) from None
    if not _EARLIEST <= read < _LATEST:  # PostgreSQL reads the ends of Python's calendar as infinite
        msg = "should be a time between the years 2000 and 2200"
        raise ValueError(msg)
    return read


def _secret(pattern: str, says: str) -> Callable[[object], Secret]:
    compiled = re.compile(pattern)

    def read(value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_SECRET or not compiled.fullmatch(value):
            msg = f"should be {says}, of 1 to {_LONGEST_SECRET} characters"
            raise ValueError(msg)
        return Secret(value)

    return read


def _one_line(value: str) -> str:
    if not value.isprintable():
        msg = "should have no control characters"
        raise ValueError(msg)
    return value


def _secret_type(pattern: str, says: str) -> Any:
    schema = {"type": "string", "minLength": 1, "maxLength": _LONGEST_SECRET, "writeOnly": True}
    return Annotated[Secret, PlainValidator(_secret(pattern, says)), WithJsonSchema(schema)]


AccessToken = _secret_type(r"[\x21-\x7e]+", "visible ASCII without blanks")
"""It goes into a header, so nothing in it may end a line (RFC 6749, appendix A.12)."""

SecretText = _secret_type(r"[^\x00-\x1f\x7f]+", "a text without control characters")

ClientSecret = _secret_type(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+", "a text without control characters but line ends")
"""What a client proves itself with. A key in PEM has lines; whether a secret may have them, its method says."""

Moment = Annotated[datetime, PlainValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})]

Lifetime = Annotated[int, Field(strict=True, ge=1, le=_TEN_YEARS_S)]
"""Seconds, at most ten years of them."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_one_line)]
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_one_line)]
ScopeName = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,512}$")]
"""A scope of RFC 6749, section 3.3: visible ASCII without quotes and backslashes."""

TokenType = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")]

Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_one_line)],
        Annotated[str, StringConstraints(max_length=1024)],
    ],
    Field(max_length=50),
]
"""Up to 50 texts by name."""

LabelsToChange = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_one_line)],
        Annotated[str, StringConstraints(max_length=1024)] | None,
    ],
    Field(max_length=50),
]
"""Up to 50 texts by name, or null for those that are to be taken away."""


Verify = Annotated[
    bool,
    Query(
        description="`false` stores the credentials without asking the provider about them. Nothing shows then that they "
        "work, or that no other account is the same one of the provider's, unless its token endpoint tells that by itself."
    ),
]
"""Whether a provider is to be asked about credentials before they are stored."""
