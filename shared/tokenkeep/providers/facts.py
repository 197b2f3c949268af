"""An entry told fact by fact, each with how surely it is known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from tokenkeep.providers.entry import Confidence, Provider

_OF_THE_ENTRY = frozenset(
    {"auth_type", "confidence", "docs", "documented_fields", "grant", "name", "origin", "recalled_fields", "slug"}
)
_IN_THE_FILE = {"credential_fields": "credentials", "verification": "verify"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of an entry. `known_from` is `documented`, `source` or `recalled`."""

    name: str
    value: str
    known_from: str


def facts_of(provider: Provider) -> Iterator[Fact]:
    """Every fact that the entry states, by the names of data files."""
    for member in fields(provider):
        value = getattr(provider, member.name)
        if member.name in _OF_THE_ENTRY or value is None or value in ((), {}):
            continue
        name = _IN_THE_FILE.get(member.name, member.name)
        yield Fact(name, _told(value), _known_from(provider, name))


def _known_from(provider: Provider, name: str) -> str:
    if name in provider.recalled_fields:
        return "recalled"
    if name in provider.documented_fields:
        return "documented"
    # Where an entry names what is documented, public code is what the rest was read in.
    return Confidence.SOURCE.value if provider.documented_fields else provider.confidence.value


def _told(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_told(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return "; ".join(_told(item) for item in value)
    if is_dataclass(value):
        said = ((member.name, getattr(value, member.name)) for member in fields(value))
        return ", ".join(f"{name} {_told(item)}" for name, item in said if item not in (None, (), {}))
    return str(value)
