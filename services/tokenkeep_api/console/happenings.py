"""Events and the audit trail, the latest first."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.domain.api_key import Scope
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.events import Event, cloudevent
from tokenkeep_api.console.fields import Field
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.paging import number_after, split

Recent = Callable[[str, int | None, int], Awaitable[Sequence[tuple[int, Event]]]]
"""The latest events of an environment: before this position, at most so many."""

_PAGE: Final = 50
_PLACES: Final = {"acc": "accounts", "src": "sources", "whk": "webhooks"}
_AUDIT: Final = ("actor", "action", "target", "result")


class Happenings:
    """The endpoints."""

    def __init__(self, door: Door, recent: Recent) -> None:
        self._door = door
        self._recent = recent

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            NamedRoute("/console/events", self._door.look(self.events), methods=["GET"]),
            NamedRoute("/console/audit", self._door.look(self.audit), methods=["GET"]),
        ]

    async def events(self, visit: Visit) -> Response:
        """What happened."""
        visit.require(Scope.EVENTS_READ)
        try:
            before = number_after(visit.request.query_params.get("cursor"))
        except InvalidInput:
            before = None
        found = await self._recent(visit.caller.environment, before, _PAGE + 1)
        shown, cursor = split(found, _PAGE, lambda it: it[0])
        events = [cloudevent(event) for _, event in shown]
        return visit.show("events.html", title="Events", events=events, places=_PLACES, cursor=cursor)

    async def audit(self, visit: Visit) -> Response:
        """Who did what."""
        given = visit.request.query_params
        wanted: dict[str, Any] = {name: given.get(name) for name in (*_AUDIT, "cursor")}
        found = await visit.read("/v1/audit", {**wanted, "limit": _PAGE})
        fields = [Field(name, name.capitalize(), value=given.get(name, "")) for name in _AUDIT]
        return visit.show(
            "audit.html",
            title="Audit",
            entries=found["data"],
            cursor=found["next_cursor"],
            filters=fields,
            places=_PLACES,
        )
