"""Which events a subscription is told, and under which name it reads."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tokenkeep.client.event import Event
from tokenkeep.domain.event_feed import full_types

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Events of these types in this environment; None: of all."""

    types: frozenset[str] | None = None
    environment: str | None = None

    @classmethod
    def of(cls, types: Iterable[str] | None, environment: str | None) -> "Wanted":
        """As a caller names them: `account.disabled` is short for `tokenkeep.account.disabled`.

        Raises:
            InvalidInput: There are no events of such a type, as far as this version knows.
        """
        return cls(None if types is None else full_types(types), environment)

    def takes(self, event: Event) -> bool:
        """Whether the handler is to be given the event."""
        return (self.types is None or event.type in self.types) and self.environment in {None, event.environment}


def checked_group(group: str) -> str:
    """The name of a group: up to 100 letters, digits, points, lines and underscores, beginning with a letter or digit."""
    if not _GROUP.fullmatch(group):
        raise ValueError("a group's name has 1 to 100 of A-Z a-z 0-9 . _ - and begins with a letter or a digit")
    return group
