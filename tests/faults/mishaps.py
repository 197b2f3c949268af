"""The faults: what is armed in the process, and what is done around it while it stands at its point."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults import database_clock
from faults.house import House
from faults.services import Service, eventually
from faults.street import Street
from faults.terms import PAUSE_S, SWEEP_POINTS
from tokenkeep.adapters.demo_provider import Fault as Answer
from tokenkeep.adapters.demo_provider import Moment
from tokenkeep.adapters.failpoints.spec import Action, Point

_REACH_S = 25.0
_AWAY_S = 1.5
_STEP_S = 600.0
_QUIET_TURNS = 50


@dataclass(frozen=True)
class Mishap:
    """One kind of fault.

    Args:
        name: What it is.
        action: What the failpoint does.
        around: What is done while every process stands at its point. The processes go on when it says so.
        before: What is prepared before anybody is due.
    """

    name: str
    action: str
    around: Callable[[Street, Callable[[], None]], Awaitable[None]] | None = None
    before: Callable[[House], None] | None = None


async def strike(street: Street, mishap: Mishap) -> None:
    """Make everybody due, and let it happen in every house. Afterwards nobody is stopped, and the dead are replaced."""
    for house in street.houses:
        if mishap.before is not None:
            mishap.before(house)
    await street.each(lambda house: house.make_due())
    if mishap.around is None:
        await street.each(lambda house: _let_it_happen(house, mishap))
        return

    async def arrive(house: House) -> None:
        await eventually(house.armed.is_stopped, lambda: f"not at its point\n{house.said()}", within_s=_REACH_S)

    await street.each(arrive)

    def go_on() -> None:
        for house in street.houses:
            house.armed.go_on()

    await mishap.around(street, go_on)


async def _let_it_happen(house: House, mishap: Mishap) -> None:
    if house.point in SWEEP_POINTS:
        await _replace_the_dead(house, house.worker)
    struck = house.armed
    await eventually(struck.has_struck, lambda: f"not at its point\n{house.said()}", within_s=_REACH_S)
    if mishap.action == Action.KILL:
        await _replace_the_dead(house, struck)
    elif mishap.action == Action.RAISE and house.point in {Point.SENT, Point.ANSWERED}:
        await _note_the_lost(house)


async def _replace_the_dead(house: House, service: Service) -> None:
    await eventually(lambda: not service.is_alive(), lambda: f"it lives\n{house.said()}", within_s=_REACH_S)
    if service is house.worker:
        await _note_the_lost(house)
    await house.start(service.name)


async def _note_the_lost(house: House) -> None:
    await _until_all_has_come(house)
    await house.note_the_lost()


async def _until_all_has_come(house: House) -> None:
    """What a process has sent lies in the provider's sockets already: turns of the loop without a request mean that all was read."""
    state = house.server._server.server_state
    answered, quiet = state.total_requests, 0
    async with asyncio.timeout(_REACH_S):
        while quiet < _QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if state.total_requests == answered and not state.tasks else 0
            answered = state.total_requests


async def _redis_lost(street: Street, go_on: Callable[[], None]) -> None:
    """It dies, the workers meet its absence, and it comes back."""
    os.kill(street.stores.valkey.pid, signal.SIGKILL)
    go_on()
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(street.stores.valkey.restart)


async def _redis_flushed(street: Street, go_on: Callable[[], None]) -> None:
    await street.houses[0].road.foundation.redis.flushall()
    go_on()


async def _database_restarted(street: Street, go_on: Callable[[], None]) -> None:
    """It crashes, the workers meet its absence, and it comes back."""
    os.kill(street.stores.postgres.pid, signal.SIGQUIT)
    go_on()
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(street.stores.postgres.restart)


def lose_answers(house: House, *, most: int = 1) -> None:
    """The next request of so many users is processed, and the connection cut before the answer leaves.

    Two such answers of a strict provider would make the worker rest; that has a test of its own.
    """
    for user in list(house.users.values())[:most]:
        house.provider.inject(Answer(moment=Moment.AFTER, drop=True, user=user))


async def _network_cut(street: Street, go_on: Callable[[], None]) -> None:
    """Every connection that there is breaks, with whatever is on its way."""
    for server in {id(house.server): house.server for house in street.houses}.values():
        for connection in list(server._server.server_state.connections):
            connection.transport.abort()
    go_on()


def _clocks_step(seconds: float) -> Callable[[Street, Callable[[], None]], Awaitable[None]]:
    async def step(street: Street, go_on: Callable[[], None]) -> None:
        async def one(house: House) -> None:
            house.services["worker"].clock.step(seconds)
            async with house.road.foundation.database.transaction() as connection:
                await database_clock.step(connection, seconds)

        await street.each(one)
        go_on()
        # Where the clock went back, what was due is due when it says so again (custody protocol, section 11).
        await street.each(lambda house: house.make_due())

    return step


MISHAPS = (
    Mishap("killed", Action.KILL),
    Mishap("failed", Action.RAISE),
    Mishap("paused", f"{Action.PAUSE}:{PAUSE_S}"),
    Mishap("redis_lost", Action.STOP, _redis_lost),
    Mishap("redis_flushed", Action.STOP, _redis_flushed),
    Mishap("database_restarted", Action.STOP, _database_restarted),
    Mishap("network_cut", Action.STOP, _network_cut, before=lose_answers),
    Mishap("clock_forward", Action.STOP, _clocks_step(_STEP_S)),
    Mishap("clock_back", Action.STOP, _clocks_step(-_STEP_S)),
)
