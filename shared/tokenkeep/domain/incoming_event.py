"""Events that services send: CloudEvents 1.0 in JSON form, read strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from tokenkeep.domain.api_key import ENVIRONMENT_NAME
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId, IdKind, parse_id
from tokenkeep.domain.secret import Secret

LONGEST = 255
"""How many characters `id`, `source` and `type` may have."""

_LONGEST_REASON = 200
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_EXTENSION = re.compile(r"[a-z0-9]{1,64}")
_JSON = re.compile(r"application/([a-z0-9.+-]+\+)?json(\s*;.*)?", re.IGNORECASE)
# What is no such name may be a secret in the wrong place.
_NAME = re.compile(r"(?=.{1,40}$)[a-z]{1,24}(_[a-z]{1,24}){0,5}")
_DATA = frozenset({"account_id", "environment", "token_fingerprint", "reason"})


class IncomingType(StrEnum):
    """Every type of event that a service may send."""

    UNAUTHORIZED = "tokenkeep.account.unauthorized"
    REFRESH_REQUESTED = "tokenkeep.account.refresh_requested"
    REVOKED = "tokenkeep.account.revoked"
    DISABLE_REQUESTED = "tokenkeep.account.disable_requested"
    ENABLE_REQUESTED = "tokenkeep.account.enable_requested"


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """What of an event matters here. `source` and `id` name it; `environment` is None where it names none."""

    source: str
    id: str
    type: IncomingType
    account_id: AccountId
    environment: str | None = None
    token_fingerprint: str | None = None


class UnknownType(InvalidInput):
    """The type is none that a service may send."""

    code = "unknown_type"

    def __init__(self) -> None:
        super().__init__("type", "is none of " + ", ".join(IncomingType))


def fingerprint(token: Secret) -> str:
    """What a report calls a token by: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(token.reveal().encode(errors="surrogatepass")).hexdigest()[:16]


def read_incoming(document: object) -> IncomingEvent:
    """The event that a JSON document is (CloudEvents 1.0, JSON format, structured mode).

    Extension attributes are allowed and passed over; members of `data` are ours, and unknown ones refused.

    Raises:
        InvalidInput: It is none of ours, or none at all. Nothing of it is quoted.
    """
    if not isinstance(document, Mapping):
        raise InvalidInput("event", "should be a JSON object")
    if document.get("specversion") != "1.0":
        raise InvalidInput("specversion", "should be 1.0")
    event_id, source = _text(document, "id"), _text(document, "source")
    try:
        kind = IncomingType(_text(document, "type"))
    except ValueError:
        raise UnknownType from None
    _check_attributes(document)
    data = _data(document)
    return IncomingEvent(
        source=source,
        id=event_id,
        type=kind,
        account_id=_account_id(document, data),
        environment=_environment(data),
        token_fingerprint=_fingerprint(kind, data),
    )


def _check_attributes(document: Mapping[Any, Any]) -> None:
    for name in document:
        if not isinstance(name, str) or not _EXTENSION.fullmatch(name):
            raise InvalidInput("event", "has an attribute whose name is not of lower-case letters and digits")
    kind = document.get("datacontenttype")
    if kind is not None and not (isinstance(kind, str) and _JSON.fullmatch(kind)):
        raise InvalidInput("datacontenttype", "should be application/json")


def _data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    data = document.get("data")
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidInput("data", "should be an object")
    for name in data:
        if name not in _DATA:
            named = isinstance(name, str) and _NAME.fullmatch(name)
            raise InvalidInput(f"data.{name}" if named else "data", "there is no such member")
    reason = data.get("reason")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= _LONGEST_REASON):
        raise InvalidInput("data.reason", f"should be a text of at most {_LONGEST_REASON} characters")
    return data


def _account_id(document: Mapping[str, Any], data: Mapping[str, Any]) -> AccountId:
    named = {
        field: parse_id(IdKind.ACCOUNT, value if isinstance(value, str) else "", field=field)
        for field, value in (("subject", document.get("subject")), ("data.account_id", data.get("account_id")))
        if value is not None
    }
    if not named:
        raise InvalidInput("subject", "is required: the account's id, here or in data.account_id")
    if len(set(named.values())) > 1:
        raise InvalidInput("data.account_id", "is another account than the subject")
    return AccountId(next(iter(named.values())))


def _environment(data: Mapping[str, Any]) -> str | None:
    name = data.get("environment")
    if name is not None and not (isinstance(name, str) and ENVIRONMENT_NAME.fullmatch(name)):
        raise InvalidInput("data.environment", "should be the name of an environment")
    return name


def _fingerprint(kind: IncomingType, data: Mapping[str, Any]) -> str | None:
    given = data.get("token_fingerprint")
    if given is None:
        if kind is IncomingType.UNAUTHORIZED:
            raise InvalidInput("data.token_fingerprint", "is required")
        return None
    if not (isinstance(given, str) and _FINGERPRINT.fullmatch(given.lower())):
        raise InvalidInput("data.token_fingerprint", "should be the first 16 hexadecimal digits of the token's SHA-256")
    return given.lower()


def _text(document: Mapping[Any, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise InvalidInput(name, f"should be a text of 1 to {LONGEST} printable characters")
    return value
