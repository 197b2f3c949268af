"""Pages that ask before something is done, and the doing of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep_api.console.acts import Act
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute

Naming = Callable[[Visit, str], Awaitable[str]]
"""What people call the thing with this id. Raises `Refused` where there is none."""


@dataclass(frozen=True, slots=True)
class Acting:
    """The acts of one kind of thing. `place` is where it is in the console, `api` at the API; `naming` tells what people call it."""

    acts: Mapping[str, Act]
    place: str
    api: str
    naming: Naming

    def routes(self, door: Door) -> list[Route]:
        """A page that asks, and what its button is sent to. More special routes come before."""
        path = f"/console{self.place}/{{id}}/{{act}}"
        return [
            NamedRoute(path, door.look(self.ask), methods=["GET"]),
            NamedRoute(path, door.change(self.do), methods=["POST"]),
        ]

    async def ask(self, visit: Visit) -> Response:
        """What it would mean."""
        named, act = self._named(visit)
        if act.asks is None or not visit.may(*act.scopes):
            raise _nothing_here()
        return visit.show(
            "ask.html",
            title=act.button,
            act=act,
            named=await self.naming(visit, named),
            back=self.place if self.place == "/keys" else f"{self.place}/{named}",
        )

    async def do(self, visit: Visit) -> Response:
        """Do it."""
        named, act = self._named(visit)
        await visit.send(act.method, f"{self.api}/{named}{act.path}", act.body, act.query)
        return visit.onward(self.place if act.gone else f"{self.place}/{named}", act.done)

    def offered(self, visit: Visit, *names: str) -> dict[str, Act]:
        """Of these acts, those that the key may do."""
        return {name: self.acts[name] for name in names if visit.may(*self.acts[name].scopes)}

    def _named(self, visit: Visit) -> tuple[str, Act]:
        given: Mapping[str, Any] = visit.request.path_params
        act = self.acts.get(given["act"])
        if act is None:
            raise _nothing_here()
        return given["id"], act


def _nothing_here() -> Refused:
    return Refused({"status": 404, "code": "not_found", "detail": "there is nothing at this address"})
