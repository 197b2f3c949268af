"""What the console offers to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenkeep.domain.api_key import Caller, Scope

_PLACES: Final[Sequence[tuple[str, str, Scope | None]]] = (
    ("", "Overview", None),
    ("/accounts", "Accounts", Scope.ACCOUNTS_READ),
    ("/sources", "Sources", Scope.SOURCES_READ),
    ("/events", "Events", Scope.EVENTS_READ),
    ("/webhooks", "Webhooks", Scope.WEBHOOKS_WRITE),
    ("/keys", "API keys", Scope.ADMIN),
    ("/audit", "Audit", Scope.AUDIT_READ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation."""

    path: str
    title: str
    here: bool


def navigation(caller: Caller, path: str) -> list[Place]:
    """The places that the caller's key may see."""
    at = path.removeprefix("/console")
    return [
        Place(to, title, at == to if to == "" else at == to or at.startswith(f"{to}/"))
        for to, title, scope in _PLACES
        if scope is None or caller.may(scope)
    ]
