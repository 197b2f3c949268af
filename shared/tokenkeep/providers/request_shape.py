"""What a provider's entry may change about the shape of a token request, and what it may not."""

import re
from typing import Final

RENAMEABLE: Final = ("client_id", "client_secret", "refresh_token", "grant_type", "code")
"""The parameters (RFC 6749) for which some providers have names of their own."""

RESERVED_HEADERS: Final = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "expect", "host", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""They say who asks and how the message is framed, which follows from the request."""

_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]{0,998}[\x21-\x7e])?")
_PARAM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def header_complaint(name: str, value: str) -> str | None:
    """What is wrong with a header that a provider wants on its token requests, or None."""
    if not _HEADER_NAME.fullmatch(name):
        return "a header's name is written in lower case"
    if name in RESERVED_HEADERS:
        return "this header is not the entry's to set"
    return None if _HEADER_VALUE.fullmatch(value) else "expected visible ASCII, with blanks inside at most"


def param_name_complaint(standard: str, own: str) -> str | None:
    """What is wrong with a provider's own name for a parameter, or None."""
    if standard not in RENAMEABLE:
        return f"expected one of {', '.join(RENAMEABLE)}"
    return None if _PARAM_NAME.fullmatch(own) else "expected a name of letters, digits, dots, hyphens and underscores"
