"""The console, wired."""

from fastapi import FastAPI
from starlette.routing import Route

from tokenkeep.adapters.postgres.environment_figures import count_environment
from tokenkeep.application.console_sessions import Recognise
from tokenkeep.application.fleet import EnvironmentFigures
from tokenkeep_api.console.accounts import Accounts
from tokenkeep_api.console.figures import Figures
from tokenkeep_api.console.front import Front
from tokenkeep_api.console.own_api import OwnApi
from tokenkeep_api.console.pages import ConsolePages
from tokenkeep_api.console.visits import Door
from tokenkeep_api.wired import Wired


def console_routes(wired: Wired, api: FastAPI, pages: ConsolePages) -> list[Route]:
    """The console's routes, over those that `api` has by then."""
    own_api = OwnApi.over(api, note=wired.reads.note, link_account=wired.connecting.link_account)
    recognise = Recognise(wired.sign_in.vault, wired.authenticate)
    door = Door(wired, pages, own_api, recognise, wired.uses)

    async def count(environment: str) -> EnvironmentFigures:
        return await count_environment(wired.foundation.database, environment)

    areas = (Front(wired, pages, door, Figures(count), wired.sign_in), Accounts(door))
    return [*pages.routes(), *(route for area in areas for route in area.routes())]
