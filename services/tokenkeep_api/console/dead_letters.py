"""What services reported and nobody could understand, or work off: shown, and tried again.

There is no route of the API for it; `tokenkeep events dead` does the same. Entries of the Redis stream that could not be understood
belong to no environment, so the admin key alone sees them.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from redis.exceptions import RedisError
from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.adapters.redis.inbox_stream import DeadEntry
from tokenkeep.application.inbox import FailedEvent
from tokenkeep.application.issue_api_key import ADMIN_NAME
from tokenkeep.domain.api_key import Scope
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.refusals import Noting

MOST: Final = 100
"""How many of each are shown. Those that come first may hide others, which show up when they are gone."""

_ENTRY: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_POSITION: Final = re.compile(r"[0-9]{1,18}")
_ACTION: Final = "inbox.retry"


class Failed(Protocol):
    """Events that were accepted and given up."""

    async def failed(self, limit: int, *, environment: str | None = None) -> Sequence[FailedEvent]:
        """The oldest of them."""

    async def retry(self, positions: Collection[int], *, environment: str | None = None) -> Collection[int]:
        """Have these tried again; returns those that there were."""


class Misunderstood(Protocol):
    """Entries of the stream that could not be understood. Raises `RedisError`."""

    async def list(self, limit: int) -> Sequence[DeadEntry]:
        """The oldest of them."""

    async def retry(self, entry_id: str) -> bool:
        """Have this one tried again; False if there is none."""


class DeadLetters:
    """The endpoints."""

    def __init__(self, door: Door, failed: Failed, misunderstood: Misunderstood, note: Noting) -> None:
        self._door = door
        self._failed = failed
        self._misunderstood = misunderstood
        self._note = note

    def routes(self) -> list[Route]:
        """Both of them."""
        path = "/console/events/dead"
        return [
            NamedRoute(path, self._door.look(self.show), methods=["GET"]),
            NamedRoute(path, self._door.change(self.retry), methods=["POST"]),
        ]

    async def show(self, visit: Visit) -> Response:
        """What lies there, oldest first."""
        visit.require(Scope.EVENTS_READ)
        failed = await self._failed.failed(MOST, environment=visit.caller.environment)
        entries, away = await self._entries(visit)
        return visit.show(
            "dead-letters.html",
            title="Dead letters",
            failed=failed,
            entries=entries,
            away=away,
            everywhere=_sees_the_stream(visit),
            most=MOST,
        )

    async def retry(self, visit: Visit) -> Response:
        """One of them once more."""
        try:
            visit.require(Scope.EVENTS_WRITE)
            if not await self._retried(visit):
                raise Refused({"status": 404, "code": "not_found", "detail": "it is not there any more"})  # noqa: TRY301
        except Refused as refused:
            self._note(visit.caller, _ACTION, None, refused.code)
            raise
        self._note(visit.caller, _ACTION, None, "ok")
        return visit.onward("/events/dead", "retried")

    async def _retried(self, visit: Visit) -> bool:
        position, entry = visit.form.get("position", ""), visit.form.get("entry", "")
        if _POSITION.fullmatch(position):
            return bool(await self._failed.retry([int(position)], environment=visit.caller.environment))
        if not _sees_the_stream(visit) or not _ENTRY.fullmatch(entry):
            return False
        try:
            return await self._misunderstood.retry(entry)
        except RedisError:
            raise Refused({"status": 503, "code": "temporarily_unavailable", "detail": "Redis can't be had"}) from None

    async def _entries(self, visit: Visit) -> tuple[Sequence[DeadEntry], bool]:
        """The stream's, and whether Redis is away."""
        if not _sees_the_stream(visit):
            return [], False
        try:
            return await self._misunderstood.list(MOST), False
        except RedisError:
            return [], True


def _sees_the_stream(visit: Visit) -> bool:
    return visit.caller.name == ADMIN_NAME
