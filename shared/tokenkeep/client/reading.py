"""Answers of the API as frozen values: what is known is checked, what is not known is kept, and no fault."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from tokenkeep.client.errors import UnreadableAnswer

_Reader = Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The root of what the API answers with. `document`: its JSON, also with members that this version does not know.

    Words such as states and reasons are texts, for a newer server may have more of them; those of this version are in the
    enumerations that `tokenkeep.client` exports, and compare equal.
    """

    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


Read = TypeVar("Read", bound=Answer)
_known: dict[type[Answer], tuple[tuple[str, _Reader, bool], ...]] = {}


def read(cls: type[Read], document: Any, where: str = "") -> Read:
    """The value that a JSON object is.

    Raises:
        UnreadableAnswer: A member is missing or of another kind. It is named, and nothing is quoted.
    """
    name = where or cls.__name__
    if not isinstance(document, Mapping):
        raise UnreadableAnswer(f"{name} is no JSON object")
    values: dict[str, Any] = {}
    for member, reader, is_required in _members(cls):
        if member in document:
            values[member] = reader(document[member], f"{name}.{member}")
        elif is_required:
            raise UnreadableAnswer(f"{name}.{member} is missing")
    return cls(**values, document=document)


def _members(cls: type[Answer]) -> tuple[tuple[str, _Reader, bool], ...]:
    found = _known.get(cls)
    if found is None:
        found = _known[cls] = _described(cls)
    return found


def _described(cls: type[Answer]) -> tuple[tuple[str, _Reader, bool], ...]:
    hints = get_type_hints(cls)
    return tuple(
        (it.name, _reader(hints[it.name]), it.default is MISSING and it.default_factory is MISSING)
        for it in fields(cls)
        if it.name != "document"
    )


def _reader(kind: Any) -> _Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, _where: value
    if origin in {Union, UnionType}:
        [inner] = [_reader(it) for it in arguments if it is not NoneType]
        return lambda value, where: None if value is None else inner(value, where)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value, where: tuple(item(it, where) for it in _of(list, value, where))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value, where: _of(dict, value, where)
    if kind is datetime:
        return _moment
    if isinstance(kind, type) and issubclass(kind, Answer):
        return lambda value, where: read(kind, value, where)
    return lambda value, where: _of(kind, value, where)


def _of(kind: type[Any], value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    # A bool is an int to Python, and nothing else is.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UnreadableAnswer(f"{where} is of another kind")
    return value


def _moment(value: Any, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_of(str, value, where))
    except ValueError:
        raise UnreadableAnswer(f"{where} is no time") from None
    if moment.tzinfo is None:
        raise UnreadableAnswer(f"{where} has no zone")
    return moment
