"""Keeps parts running: starts again what died, gives up on what keeps dying, stops all in order."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, assert_never

from tokenkeep.adapters.embedded.child import Child
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.restarts import GiveUp, RestartPolicy, StartAgain, decide, recent

_POLL_S = 0.25

Announce = Callable[[str], None]
"""Shows the user one line."""


class Server(Protocol):
    """An embedded server, already started. Its calls block."""

    def is_running(self) -> bool:
        """Whether it has not ended."""

    def last_words(self) -> str:
        """One line on how it ended."""

    def restart(self) -> None:
        """Start it anew."""

    def stop(self) -> None:
        """Shut it down."""


class Part(Protocol):
    """Something to keep running."""

    name: str

    @property
    def last_lines(self) -> tuple[str, ...]:
        """What it said last."""

    async def start(self) -> None:
        """Start it, for the first time or again."""

    async def wait(self) -> str:
        """Wait until it has ended; how it ended, in words."""


class ServerPart:
    """An embedded server as a part: it is started already, and watched by asking."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self._server = server

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The line that tells how it ended."""
        return (self._server.last_words(),)

    async def start(self) -> None:
        """Start it unless it runs."""
        if not self._server.is_running():
            await asyncio.to_thread(self._server.restart)

    async def wait(self) -> str:
        """Wait until it has ended; the last line of its log."""
        while self._server.is_running():  # noqa: ASYNC110  # a process of a blocking library sets no event
            await asyncio.sleep(_POLL_S)
        return self._server.last_words()


class Supervisor:
    """Runs `up`'s parts. One per run."""

    def __init__(self, announce: Announce, *, policy: RestartPolicy | None = None) -> None:
        self._announce = announce
        self._policy = policy or RestartPolicy()
        self._keepers: set[asyncio.Task[None]] = set()
        self._children: list[Child] = []
        self._failure: asyncio.Future[EmbeddedFailure] = asyncio.get_running_loop().create_future()

    def keep_server(self, name: str, server: Server) -> None:
        """Watch over an embedded server that was started already. Stopping it at the end is the caller's."""
        self._keepers.add(asyncio.create_task(self._run(ServerPart(name, server), started=True), name=name))

    async def leave_alone(self, name: str) -> None:
        """Watch over this server no more; `keep_server` begins anew, its deaths forgotten."""
        left = {keeper for keeper in self._keepers if keeper.get_name() == name}
        self._keepers -= left
        for keeper in left:
            keeper.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def keep_child(self, child: Child) -> None:
        """Start a child process and keep it running."""
        self._children.append(child)
        self._keepers.add(asyncio.create_task(self._run(child, started=False)))

    async def failed(self) -> EmbeddedFailure:
        """Wait until something can't be kept running; why."""
        return await asyncio.shield(self._failure)

    async def stop(self, *, drain_s: float, hurry: asyncio.Event | None = None) -> None:
        """Stop watching, then the children all at once: they have `drain_s` seconds, or until `hurry` is set."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(child.stop(patience_s=drain_s, hurry=hurry) for child in self._children))

    async def _run(self, part: Part, *, started: bool) -> None:
        try:
            if not started:
                # What can't even be started once is not tried again.
                await part.start()
            await self._keep_running(part)
        except EmbeddedFailure as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # whatever breaks a keeper must end `up`, not go unseen
            self._fail(EmbeddedFailure(f"{part.name} is no longer watched over: {error!r}"))

    async def _keep_running(self, part: Part) -> None:
        deaths: tuple[float, ...] = ()
        ending = await part.wait()
        while True:
            now = time.monotonic()
            deaths = (*recent(deaths, now=now, policy=self._policy), now)
            decision = decide(deaths, now=now, policy=self._policy)
            match decision:
                case StartAgain(delay_s=delay_s):
                    self._announce(f"{part.name} {_after_name(part.name, ending)}; starting it again in {delay_s:g} s")
                    await asyncio.sleep(delay_s)
                    ending = await _another_life(part)
                case GiveUp(deaths=count, within_s=within_s):
                    raise EmbeddedFailure(_obituary(part, ending, count, within_s))
                case _:
                    assert_never(decision)

    def _fail(self, failure: EmbeddedFailure) -> None:
        if not self._failure.done():
            self._failure.set_result(failure)


async def _another_life(part: Part) -> str:
    """From start to end; how it ended. Not to start counts as a death."""
    try:
        await part.start()
    except EmbeddedFailure as failure:
        return str(failure)
    return await part.wait()


def _after_name(name: str, ending: str) -> str:
    """The ending without the name before it: the embedded servers' own words begin with it."""
    return ending.removeprefix(f"{name} ")


def _obituary(part: Part, ending: str, deaths: int, within_s: float) -> str:
    last = part.last_lines[-1].strip() if part.last_lines else "it wrote nothing"
    ending = _after_name(part.name, ending)
    reason = ending if last.endswith(ending) else f"{ending}: {last}"
    return f"{part.name} died {deaths} times within {within_s:g} s and is given up; it last {reason}"
