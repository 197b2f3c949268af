"""What a rehearsal needs around it: the stage of a show, a witness, the processes' figures; and the verdict at its end."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from rich.console import Console

from tokenkeep.cli.demonstration import programme, terminal
from tokenkeep.cli.demonstration.callers import Callers
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.figures import Figures
from tokenkeep.cli.demonstration.incidents import SCRIPTS, Incident
from tokenkeep.cli.demonstration.plan import Plan
from tokenkeep.cli.demonstration.programme import PlainTeller, ScreenTeller, Teller
from tokenkeep.cli.demonstration.promises import Promise, judge
from tokenkeep.cli.demonstration.rehearsal import Rehearsal
from tokenkeep.cli.demonstration.stage import Stage, set_stage, subscribed
from tokenkeep.cli.demonstration.troubles import Scene
from tokenkeep.cli.demonstration.witness import Witness
from tokenkeep.cli.premises import Premises


@dataclass(frozen=True, slots=True)
class _Room:
    """Where a rehearsal is told: `companions` run beside it."""

    teller: Teller
    on_line: Callable[[datetime, str], None]
    companions: Callable[[Stage], list[Callable[[], Awaitable[None]]]]


async def rehearse(incident: Incident, plan: Plan, premises: Premises) -> None:
    """Set the stage, play the incident, say how it went.

    Raises:
        DemoFailure: A promise was broken, or it could not be played.
    """
    # What the processes have to say of an incident would drown it.
    with terminal.screen_to_itself(premises.settings.data_dir / "demo.log") as console:
        room = _room(plan, console)
        async with AsyncExitStack() as stack:
            stage = await stack.enter_async_context(
                set_stage(plan, premises.settings, premises.url, on_line=room.on_line)
            )
            promises = await _play(incident, plan, premises, stage, room)
        room.teller.verdict(incident, promises)
    broken = [one.words for one in promises if not one.kept]
    if broken:
        msg = f"a promise was broken: {'; '.join(broken)}"
        raise DemoFailure(msg)


def _room(plan: Plan, console: Console) -> _Room:
    if plan.plain:
        teller = PlainTeller(console.file)
        return _Room(teller, teller.line, lambda _stage: [])
    return _Room(
        ScreenTeller(console),
        terminal.keep_quiet,
        lambda stage: [terminal.live_table(console, stage.board, lifetime_s=plan.token_lifetime_s)],
    )


async def _play(incident: Incident, plan: Plan, premises: Premises, stage: Stage, room: _Room) -> tuple[Promise, ...]:
    script = SCRIPTS[incident]
    lasts_s = script.lasts_s if plan.for_s is None else plan.for_s
    async with httpx.AsyncClient(trust_env=False) as http, subscribed(premises.settings) as subscriber:
        figures = Figures(http, premises.metrics, source_id=stage.source_id)
        witness = Witness(subscriber, source_id=stage.source_id)
        callers = Callers(stage.api, stage.browser, source_id=stage.source_id)
        rows = programme.before(
            incident,
            script,
            url=premises.url,
            source_id=stage.source_id,
            sign=f"{figures.name_of(script.sign)}, at {figures.place_of(script.sign)}",
            places=(premises.url, *premises.metrics.values()),
            lasts_s=lasts_s,
        )
        room.teller.before(rows)
        rehearsal = Rehearsal(
            incident,
            script,
            Scene(stage.provider, stage.api, stage.source_id, premises.valkey, _telling(plan, stage, room)),
            browser=stage.browser,
            callers=callers,
            figures=figures,
            witness=witness,
            lasts_s=lasts_s,
            interruption=premises.interruption,
        )
        found: list[Promise] = []

        async def act() -> None:
            found.extend(judge(await rehearsal.play(since=stage.since)))

        await stage.show.play(witness.listen, callers.call, *room.companions(stage), act=act)
    return tuple(found)


def _telling(plan: Plan, stage: Stage, room: _Room) -> Callable[[str], None]:
    """Says what happens. On a screen, the board has room for the latest only, so each stays above it as well."""

    def tell(text: str) -> None:
        stage.board.tell(text)
        if not plan.plain:
            room.teller.line(datetime.now(UTC), text)

    return tell
