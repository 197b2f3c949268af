"""The console, wired."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.adapters.postgres.environment_figures import count_environment, recent_events, tries_of
from tokenkeep.adapters.postgres.inbox import PostgresInboxQueue
from tokenkeep.adapters.redis.inbox_stream import RedisDeadEntries
from tokenkeep.application.console_sessions import Recognise
from tokenkeep.application.environment_figures import LATEST, EnvironmentFigures, SourceTries
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import SourceId
from tokenkeep_api.console.accounts import Accounts
from tokenkeep_api.console.dead_letters import DeadLetters
from tokenkeep_api.console.figures import Figures
from tokenkeep_api.console.front import Front
from tokenkeep_api.console.happenings import Happenings
from tokenkeep_api.console.keys import Keys
from tokenkeep_api.console.own_api import OwnApi, Refused
from tokenkeep_api.console.pages import ConsolePages
from tokenkeep_api.console.sources import Sources
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.console.webhooks import WebhookPages
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.wired import Wired


def console_routes(wired: Wired, api: FastAPI, pages: ConsolePages) -> list[Route]:
    """The console's routes, over those that `api` has by then."""
    own_api = OwnApi.over(api, note=wired.reads.note, link_account=wired.connecting.link_account)
    recognise = Recognise(wired.sign_in.vault, wired.authenticate)
    door = Door(wired, pages, own_api, recognise, wired.uses)

    database = wired.foundation.database

    async def count(environment: str) -> EnvironmentFigures:
        return await count_environment(database, environment)

    async def tries(source_id: SourceId) -> SourceTries:
        async with database.reading() as connection:
            return await tries_of(connection, source_id, back=LATEST)

    async def recent(environment: str, before: int | None, limit: int) -> Sequence[tuple[int, Event]]:
        async with database.reading() as connection:
            return await recent_events(connection, environment, before=before, limit=limit)

    areas = (
        Front(wired, pages, door, Figures(count), wired.sign_in),
        Accounts(door),
        Sources(door, Figures(tries)),
        Happenings(door, recent),
        DeadLetters(door, PostgresInboxQueue(database), RedisDeadEntries(wired.foundation.redis), wired.reads.note),
        WebhookPages(door),
        Keys(door),
    )
    nowhere = NamedRoute("/console/{path:path}", door.look(_nowhere), methods=["GET"])
    return [*pages.routes(), *(route for area in areas for route in area.routes()), nowhere]


async def _nowhere(_visit: Visit) -> Response:
    """An address that leads nowhere: said within the frame, from which everything else is reached."""
    raise Refused({"status": 404, "code": "not_found", "detail": "there is nothing at this address"})
