"""The API's calls in their forms: one thing read, a page of them, a change, a creation."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from tokenkeep.client.api_wire import Reply, is_header_text
from tokenkeep.client.asking import Ask
from tokenkeep.client.effects import Call
from tokenkeep.client.errors import Unreachable
from tokenkeep.client.event import Event
from tokenkeep.client.reading import Answer, read
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import IdKind, parse_id

Item = TypeVar("Item", bound=Answer)
Thing = TypeVar("Thing")

IDEMPOTENCY_HEADER = "Idempotency-Key"
_LONGEST_KEY = 240  # the API takes 255; an import numbers its pieces


class Unset(Enum):
    """What an argument is that was not given, where None has a meaning of its own."""

    UNSET = "unset"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Listing(Generic[Thing]):
    """A page of things. `next_cursor` leads to the next one; None: this is the last."""

    items: tuple[Thing, ...]
    next_cursor: str | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Thing]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def reading(kind: type[Item], path: str, **parameters: Any) -> Ask[Item]:
    """A GET of one thing."""
    return Ask(Call("GET", path, parameters), one(kind), repeatable=True)


def listing(kind: type[Item], path: str, **parameters: Any) -> Ask[Listing[Item]]:
    """A GET of a page of things."""
    return Ask(Call("GET", path, parameters), _page_of(lambda item: read(kind, item)), repeatable=True)


def event_listing(path: str, **parameters: Any) -> Ask[Listing[Event]]:
    """A GET of a page of events."""
    return Ask(Call("GET", path, parameters), _page_of(Event.read), repeatable=True)


def changing(
    kind: type[Item], method: str, path: str, body: Any = None, *, repeatable: bool = False, **parameters: Any
) -> Ask[Item]:
    """A call that changes something, and is not made twice unless it is said that this does no harm."""
    return Ask(Call(method, path, parameters, body), one(kind), repeatable=repeatable)


def creating(
    kind: type[Item], path: str, body: Any, idempotency_key: str | None, *, bare: bool = False, **rest: Any
) -> Ask[Item]:
    """A POST that creates once, however often it is made: it bears an Idempotency-Key, the caller's or one of its own."""
    headers = {IDEMPOTENCY_HEADER: key_or_new(idempotency_key), **rest.pop("headers", {})}
    return Ask(Call("POST", path, rest, body, headers=headers), whole(kind) if bare else one(kind), repeatable=True)


def key_or_new(idempotency_key: str | None) -> str:
    """The caller's Idempotency-Key, or a new one. Raises `InvalidInput` if a header can't hold it."""
    if idempotency_key is None:
        return uuid4().hex
    if not is_header_text(idempotency_key) or len(idempotency_key) > _LONGEST_KEY:
        raise InvalidInput("idempotency_key", f"1 to {_LONGEST_KEY} visible ASCII characters")
    return idempotency_key


def removing(path: str) -> Ask[None]:
    """A DELETE, whose answer is empty."""
    return Ask(Call("DELETE", path), lambda _reply: None)


def one(kind: type[Item]) -> Callable[[Reply], Item]:
    """Reads `{"data": …}`."""
    return lambda reply: read(kind, reply.document().get("data"))


def whole(kind: type[Item]) -> Callable[[Reply], Item]:
    """Reads an answer without `data`."""
    return lambda reply: read(kind, reply.document())


def _page_of(read_item: Callable[[Any], Thing]) -> Callable[[Reply], Listing[Thing]]:
    """Reads `{"data": […], "next_cursor": …}`."""

    def listed(reply: Reply) -> Listing[Thing]:
        document = reply.document()
        items, cursor = document.get("data"), document.get("next_cursor")
        if not isinstance(items, list) or not isinstance(cursor, str | None):
            raise Unreachable("the answer is no page of things")
        return Listing(tuple(read_item(item) for item in items), cursor)

    return listed


def identified(kind: IdKind, value: str, field_name: str) -> str:
    """An id as it stands in a path. Raises `InvalidInput`, which names the argument: an empty one would name another path."""
    if not isinstance(value, str):
        raise InvalidInput(field_name, f"expected an id such as {kind.value}_…")
    parse_id(kind, value, field=field_name)
    return value


def segment(value: str, field_name: str) -> str:
    """A text as one step of a path. Raises `InvalidInput` if it is none."""
    if not value or value in {".", ".."}:
        raise InvalidInput(field_name, "is one step of a path")
    return quote(value, safe="")


def given(**members: Any) -> dict[str, Any]:
    """A body of the members that are not None."""
    return {name: _json(value) for name, value in members.items() if value is not None}


def stated(**members: Any) -> dict[str, Any]:
    """A body of the members that were given at all; None is told, for it takes away."""
    return {name: _json(value) for name, value in members.items() if value is not UNSET}


def moment(value: datetime | None) -> str | None:
    """A time as it stands in a query. Raises `InvalidInput` if it has no zone."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise InvalidInput("time", "has no zone: give it one, such as datetime.now(UTC)")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return {name: _json(it) for name, it in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_json(it) for it in value]
    return value
