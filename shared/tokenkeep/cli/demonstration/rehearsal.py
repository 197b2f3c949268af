"""The run of a rehearsal: all is well, it happens, it is seen, it ends, all is well again; then how it went."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from tokenkeep.cli.demonstration.browser import DemoBrowser
from tokenkeep.cli.demonstration.callers import Callers
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.figures import Figures
from tokenkeep.cli.demonstration.incidents import Incident, Script
from tokenkeep.cli.demonstration.promises import Aftermath
from tokenkeep.cli.demonstration.troubles import Scene, trouble
from tokenkeep.cli.demonstration.witness import Witness
from tokenkeep.cli.interruption import Interruption

_NEVER = datetime.max.replace(tzinfo=UTC)
_LOOK_S = 0.5
_CALM_WITHIN_S = 180.0
_SHOWS_WITHIN_S = 240.0
_STAYS_WELL_S = 5.0
_STREAMED_WITHIN_S = 10.0
_WELL_WITHIN_S = 420.0
"""A breaker that has rested for its longest, two minutes, and a token's life."""


@dataclass(slots=True)
class _Course:
    """What was noted on the way."""

    was_seen: bool = False
    is_gone: bool = False
    ended_at: datetime = _NEVER
    well_since: float | None = None


class Rehearsal:
    """One incident on one scene. Play it once the accounts are connected."""

    def __init__(
        self,
        incident: Incident,
        script: Script,
        scene: Scene,
        *,
        browser: DemoBrowser,
        callers: Callers,
        figures: Figures,
        witness: Witness,
        lasts_s: float,
        interruption: Interruption,
    ) -> None:
        self._incident = incident
        self._script = script
        self._scene = scene
        self._browser = browser
        self._callers = callers
        self._figures = figures
        self._witness = witness
        self._lasts_s = lasts_s
        self._interruption = interruption
        self._course = _Course()
        self._connected = 0

    async def play(self, *, since: str) -> Aftermath:
        """The whole of it; how everything stands afterwards.

        Args:
            since: The feed's cursor from before the first event of this source.

        Raises:
            DemoFailure: It can't even begin.
        """
        tell, course = self._scene.tell, self._course
        tell("waiting until every account was refreshed once")
        if not await self._within(_CALM_WITHIN_S, self._is_calm):
            msg = f"not every account was refreshed within {_CALM_WITHIN_S:.0f} s, and nothing has happened yet"
            raise DemoFailure(msg)
        names = await self._names()
        self._connected = len(names)
        leaving = frozenset(names[len(names) - self._script.leaving :])
        self._callers.spare(leaving)
        async with trouble(self._incident, self._scene, leaving=leaving):
            tell(f"it happens: {self._script.happens}")
            with self._interruption.sparing() as enough:
                await self._let_it_last(enough)
            course.ended_at = datetime.now(UTC)
        tell("it is over; waiting until all is well again, and stays so")
        with self._interruption.sparing() as enough:
            well = await self._within(_WELL_WITHIN_S, lambda: self._stays_well(leaving, since), until=enough)
        tell("all is well again" if well else "all is not well, and is judged as it stands")
        return await self._aftermath(leaving, since)

    async def _names(self) -> list[str]:
        """All users, those who were connected last at the end."""
        accounts = await self._scene.api.accounts(self._scene.source_id)
        return [name for _, name in sorted((account["created_at"], account["external_id"]) for account in accounts)]

    async def _is_calm(self) -> bool:
        accounts = await self._scene.api.accounts(self._scene.source_id)
        return all(account["last_refreshed_at"] is not None for account in accounts)

    async def _let_it_last(self, enough: asyncio.Event) -> None:
        """Until it shows, and then for as long as is asked; Ctrl-C ends it at once."""
        began = monotonic()
        self._course.was_seen = await self._within(_SHOWS_WITHIN_S, self._shows, until=enough)
        if not self._course.was_seen:
            return
        value = await self._figures.shown(self._script.sign) or 0
        self._scene.tell(
            f"it shows after {monotonic() - began:.0f} s: {self._figures.name_of(self._script.sign)} is {value:g}; "
            f"{self._script.alert} would fire {self._script.alert_after} from here. It lasts {self._lasts_s:.0f} s more"
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), self._lasts_s)

    async def _shows(self) -> bool:
        return await self._figures.shown(self._script.sign) is not None

    async def _stays_well(self, leaving: frozenset[str], since: str) -> bool:
        if not await self._is_well(leaving, since):
            self._course.well_since = None
            return False
        now = monotonic()
        self._course.well_since = self._course.well_since or now
        return now - self._course.well_since >= _STAYS_WELL_S

    async def _is_well(self, leaving: frozenset[str], since: str) -> bool:
        """Whether everybody who should was refreshed since, who left is disabled, and all of it is told."""
        api, source_id = self._scene.api, self._scene.source_id
        self._course.is_gone = not await self._shows()
        if not self._course.is_gone or await api.is_paused(source_id):
            return False
        for account in await api.accounts(source_id):
            if account["external_id"] in leaving:
                if account["state"] != "disabled":
                    return False
            elif account["state"] != "active" or account["health"] != "healthy" or not self._is_fresh(account):
                return False
        return await self._is_heard({event.id for event in await api.events(since, source_id)})

    async def _is_heard(self, told: set[str]) -> bool:
        return told <= {one for ids in self._witness.heard.values() for one in ids}

    def _is_fresh(self, account: dict[str, str]) -> bool:
        return datetime.fromisoformat(account["last_refreshed_at"]) > self._course.ended_at

    async def _aftermath(self, leaving: frozenset[str], since: str) -> Aftermath:
        api, source_id = self._scene.api, self._scene.source_id
        accounts = await api.accounts(source_id)
        staying = {one["external_id"]: one["id"] for one in accounts if one["external_id"] not in leaving}
        usable = {name: await self._is_usable(account_id) for name, account_id in staying.items()}
        told = await api.events(since, source_id)
        known = {event.id for event in told}
        # What was told a moment ago may still be on its way to the stream.
        await self._within(_STREAMED_WITHIN_S, lambda: self._is_heard(known))
        return Aftermath(
            presentations=self._scene.provider.presentations(),
            states={one["external_id"]: one["state"] for one in accounts},
            ids={one["external_id"]: one["id"] for one in accounts},
            connected=self._connected,
            left=leaving,
            some_believed=self._script.leaving > 0,
            usable=usable,
            calls=self._callers.calls,
            all_served=self._script.all_served,
            told=told,
            heard={subject: [one for one in ids if one in known] for subject, ids in self._witness.heard.items()},
            sign=self._script.sign.metric,
            was_seen=self._course.was_seen,
            is_gone=self._course.is_gone,
        )

    async def _is_usable(self, account_id: str) -> bool:
        """Whether the provider takes the token that callers get."""
        try:
            token = await self._scene.api.token(account_id)
        except DemoFailure:
            return False
        return await self._browser.takes(token.value)

    async def _within(
        self, seconds: float, condition: Callable[[], Awaitable[bool]], *, until: asyncio.Event | None = None
    ) -> bool:
        """Whether it comes true in time, or before `until` is set. A process that does not answer is asked again."""
        deadline = monotonic() + seconds
        while True:
            with contextlib.suppress(DemoFailure):
                if await condition():
                    return True
            if monotonic() > deadline or (until is not None and until.is_set()):
                return False
            await asyncio.sleep(_LOOK_S)
