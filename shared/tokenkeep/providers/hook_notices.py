"""What a proven call of a provider says: notices, each of a type, of accounts, at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from hashlib import sha256
from itertools import islice, product
from typing import Any, Final

from tokenkeep.providers.external_ids import NoId, read_external_id
from tokenkeep.providers.hook_rules import HookEvent, HookMeaning, HookScheme, ProviderHooks
from tokenkeep.providers.hook_signatures import HookRequest

MOST_NOTICES: Final = 1_000
"""How many notices of one body are looked at; a body has at most 1 MiB, and providers send some hundreds."""

_MOST_IDS: Final = 1_000
_HEADER: Final = "header "
_EACH: Final = "[*]"
_ANY: Final = "*"
_JOINT: Final = ":"
_MILLISECONDS_FROM: Final = 10**11
_MOST_DIGITS: Final = 15
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REST_OF_A_SECOND: Final = timedelta(seconds=1) - timedelta(microseconds=1)


class Illegible(Enum):
    """What came in a notice's place."""

    ILLEGIBLE = auto()


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """An id of the provider's; with `and_below`, the first parts of one, which stands for all that begin with them."""

    value: str
    and_below: bool = False


@dataclass(frozen=True, slots=True)
class NamedProperty:
    """What accounts have among their properties that are meant."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class TokenMark:
    """What tells a refresh token without showing it: its double hash, or the hash of its first characters."""

    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the provider says of some of its accounts. `digest` tells it from other notices; `happened_at` None: it does not say."""

    type: str
    means: HookMeaning
    accounts: tuple[NamedAccount, ...]
    happened_at: datetime | None
    digest: bytes
    tokens: tuple[TokenMark, ...] = ()
    property: NamedProperty | None = None


def parse_body(body: bytes) -> Any:
    """The body's JSON; `Illegible` if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return Illegible.ILLEGIBLE


def read_notices(hooks: ProviderHooks, request: HookRequest, document: Any) -> Iterator[Notice | Illegible]:
    """The notices of a body, in their order. One that can't be read stops no other; those beyond the bound are one of these."""
    items = _items(hooks, document)
    for item in islice(items, MOST_NOTICES):
        yield _notice(hooks, request, item)
    if next(items, None) is not None:
        yield Illegible.ILLEGIBLE


def first_text(places: tuple[str, ...], headers: Mapping[str, str], document: Any) -> str | None:
    """What stands at the first of these places that holds something."""
    return next((found for place in places for found in _texts(place, headers, document)), None)


def happened_at(text: str | None) -> datetime | None:
    """A time as providers write it: seconds or milliseconds since 1970, or ISO 8601, which is UTC where it names no zone.

    A time in whole seconds is the end of that second: what happened in it is not older than what was given at its beginning.
    """
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            return _since_1970(text)
        read = datetime.fromisoformat(text)
        zoned = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        return zoned if zoned.microsecond else zoned + _REST_OF_A_SECOND
    except (ValueError, OverflowError):
        return None


def _since_1970(text: str) -> datetime | None:
    if len(text) > _MOST_DIGITS:
        return None
    number = int(text)
    if number >= _MILLISECONDS_FROM:
        return _EPOCH + timedelta(milliseconds=number)
    return _EPOCH + timedelta(seconds=number) + _REST_OF_A_SECOND


def _items(hooks: ProviderHooks, document: Any) -> Iterator[Any]:
    if hooks.items is None:
        yield document
        return
    found = document
    for step in hooks.items.split(".") if hooks.items != "." else ():
        found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, list):
        yield from found
    elif hooks.items == ".":
        yield found
    elif found is not None:
        yield Illegible.ILLEGIBLE


def _notice(hooks: ProviderHooks, request: HookRequest, item: Any) -> Notice | Illegible:
    kind = first_text(hooks.type, request.headers, item) if isinstance(item, dict) else None
    if kind is None:
        return Illegible.ILLEGIBLE
    event = hooks.events.get(kind) or HookEvent(kind, HookMeaning.NOTHING)
    accounts: tuple[NamedAccount, ...] = ()
    held: NamedProperty | None = None
    if event.means is not HookMeaning.NOTHING:
        accounts = tuple(_accounts(event, request.headers, item))
        held = _property(event, request.headers, item)
        if not accounts and held is None:
            return Illegible.ILLEGIBLE
    at = happened_at(first_text(hooks.at, request.headers, item))
    delivery = first_text(hooks.delivery, request.headers, item)
    digest = _digest(hooks.scheme, kind, delivery, item, accounts)
    return Notice(event.type, event.means, accounts, at, digest, property=held)


def _property(event: HookEvent, headers: Mapping[str, str], item: Any) -> NamedProperty | None:
    wanted = event.property
    told = None if wanted is None else first_text((wanted.at,), headers, item)
    if wanted is None or told is None:
        return None
    before, _, behind = wanted.form.partition("{value}")
    value = told.removeprefix(before).removesuffix(behind)
    return NamedProperty(wanted.name, value) if value and f"{before}{value}{behind}" == told else None


def _accounts(event: HookEvent, headers: Mapping[str, str], item: Any) -> Iterator[NamedAccount]:
    seen: set[NamedAccount] = set()
    for place in event.external_ids:
        below = place.endswith(f"+ {_ANY}")
        path = place.removesuffix(f"+ {_ANY}").strip()
        for text in _texts(path, headers, item):
            named = NamedAccount(text, and_below=below)
            if named not in seen:
                seen.add(named)
                yield named


def _texts(place: str, headers: Mapping[str, str], document: Any) -> Iterator[str]:
    """What stands at a place: one text, or several where a part of it is a list that is taken item by item."""
    parts = [list(islice(_part(part.strip(), headers, document), _MOST_IDS)) for part in place.split("+")]
    for found in islice(product(*parts), _MOST_IDS):
        yield _JOINT.join(found)


def _part(part: str, headers: Mapping[str, str], document: Any) -> Iterator[str]:
    if part.startswith(_HEADER):
        text = headers.get(part.removeprefix(_HEADER))
        if text is not None and text.isprintable() and text.strip():
            yield text
        return
    path, each, _ = part.partition(_EACH)
    if not each:
        found = read_external_id(document, path, {})
        if not isinstance(found, NoId):
            yield found
        return
    node = document
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    for item in node if isinstance(node, list) else ():
        found = read_external_id({"item": item}, "item", {})
        if not isinstance(found, NoId):
            yield found


def _digest(scheme: HookScheme, kind: str, delivery: str | None, item: Any, accounts: Sequence[NamedAccount]) -> bytes:
    """Whom it means is part of it: not all providers' delivery ids are unique."""
    told = delivery or json.dumps(item, sort_keys=True)
    meant = "\0".join(one.value for one in accounts)
    return sha256(f"{scheme}\0{kind}\0{told}\0{meant}".encode(errors="surrogatepass")).digest()
