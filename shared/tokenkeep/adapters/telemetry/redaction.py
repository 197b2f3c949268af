"""The net below the logs: what looks like a secret is masked, whoever wrote the line.

Our own code never logs a secret; `Secret` sees to that. This catches what others let slip: a library that quotes a
header, a database error that quotes a row. A net has holes, so nothing may rely on it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

from tokenkeep.domain.secret import Secret

MASK: Final = "***"

_DEEPEST: Final = 8

_SENSITIVE_WORD: Final = (
    "token|secret|passw(?:or)?d|passphrase|authorization|api[_-]?key|credential|cookie|private[_-]?key|code[_-]verifier"
)
_SENSITIVE_NAME = re.compile(_SENSITIVE_WORD)
# Facts about a secret that tell nothing of it: token_url, token_type, secret_version, api_key_id, …
_HARMLESS_NAME = re.compile(
    r"(?:^|_)(?:ids?|ur[li]|type|count|version|fingerprint|hint|name|scopes?|placement|"
    r"endpoint|methods?|auth_methods?(?:_supported)?|at|in|ttl|ttl_s|seconds|requests?|vends?)$"
)

# A provider may choose the text, so every pattern takes linear time: the repeats give nothing back (`*+`) or can't
# overlap. A text may have been escaped once or twice on its way (a repr of JSON): any run of backslashes escapes what
# follows, and a line feed may be a backslash and the letter n. Rather a word too many is masked than one too few.
_START: Final = r"(?:(?<![\w-])|(?<=\\[nrt]))"
_ASSIGNED_NAME = re.compile(r"(?<![\w-])(?P<name>[\w-]++)(?:\\*+[\"']?\s*+=|\\*+[\"']\s*+:)\s*+")
_ASSIGNED_VALUE = re.compile(
    r"b?+\\*+\"(?:[^\"\\]|\\++(?s:.)?)*+(?:\"|\Z)|b?+\\*+'(?:[^'\\]|\\++(?s:.)?)*+(?:'|\Z)|[^\s&,;)\]}\"']++"
)
_PATTERNS: Final = (
    # SQLAlchemy and drivers quote parameters and rows; pydantic quotes its input. Each does so on one line.
    (re.compile(r"(\[parameters: ).*"), rf"\1{MASK}]"),
    (re.compile(r"(DETAIL:\s+).*"), rf"\1{MASK}"),
    (re.compile(r"(input_value=).*?(?=, input_type=|$)", re.MULTILINE), rf"\1{MASK}"),
    # A header's scheme may be any, so the line is masked to its end.
    (re.compile(r"(authorization\\*+[\"']?\s*+[:=]\s*+).+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(bearer\s++)[^\s\"',;]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(tk_|whsec_)[A-Za-z0-9+/=_-]{4,}"), rf"\1{MASK}"),
    (re.compile(rf"{_START}eyJ[\w-]{{6,}}+\.[\w-]++(?:\.[\w-]*+)*"), MASK),
    (re.compile(r"(-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----)(?s:.*?)(?:-----END|\Z)"), rf"\1{MASK}-----END"),
    # The password of a connection URL; the code and state of a redirect.
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{MASK}@"),
    (re.compile(r"([?&](?:code|state)=)[^\s&\"']+"), rf"\1{MASK}"),
    # OpenTelemetry quotes headers (OTEL_EXPORTER_OTLP_HEADERS) that it can't read: a collector's key, with a colon in place of an equals sign.
    (re.compile(r"(Header format invalid!)(?s:.*)"), rf"\1 {MASK}"),
    # urllib3 quotes the path and the query of what it calls, which for a collector of traces may hold a key.
    (re.compile(r"(with url: )\S+"), rf"\1{MASK}"),
    (re.compile(r"(\"[A-Z]{3,7} )\S++(?= HTTP/)"), rf"\1{MASK}"),
)

# One word of these letters is what most values are: an id, a name of the vocabulary. Each pattern above but that of our own keys wants more than that.
_PLAIN_WORD = re.compile(r"[a-z0-9_]{0,64}")


def redact_event(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A structlog processor: the event with every value made plain and every suspect masked."""
    return {name: _redacted_member(name, value, 0) for name, value in event_dict.items()}


def redact_text(text: str) -> str:
    """The text with whatever looks like a secret in it masked."""
    if _PLAIN_WORD.fullmatch(text) is not None and "tk_" not in text and "whsec_" not in text:
        return text
    return _searched(text)


def _searched(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return "".join(_without_assigned_secrets(text))


def is_sensitive(name: str) -> bool:
    """Whether a member of this name is taken to hold a secret, whatever it holds."""
    plain = name.lower().replace("-", "_").replace("tokenkeep", "")
    return _SENSITIVE_NAME.search(plain) is not None and _HARMLESS_NAME.search(plain) is None


def _redacted_member(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | Secret) or not is_sensitive(name):
        return _redacted(value, depth)
    return MASK


def _redacted(value: Any, depth: int) -> Any:
    """The value as plain JSON types, so that no renderer calls for a repr after this."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else repr(value)
        case str():
            return redact_text(value)
        case Secret():
            return repr(value)
        case Mapping() | list() | tuple() | set() | frozenset() if depth >= _DEEPEST:
            return "…"
        case Mapping():
            return {redact_text(str(key)): _redacted_member(str(key), item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item, depth + 1) for item in value]
        case date():
            return value.isoformat()
        case UUID() | PurePath():
            return str(value)
        case _:
            return redact_text(repr(value))


def _without_assigned_secrets(text: str) -> Iterator[str]:
    """The text in pieces, the values of what is named like a secret masked.

    A harmless name's value is looked into as well: token_url=https://…?access_token=…
    """
    position = 0
    while (found := _ASSIGNED_NAME.search(text, position)) is not None:
        yield text[position : found.end()]
        position = found.end()
        if is_sensitive(found["name"]) and (value := _ASSIGNED_VALUE.match(text, position)) is not None:
            yield MASK
            position = value.end()
    yield text[position:]
