"""`/v1/sources`: a provider, configured with the developer's own client."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.sources import wake_accounts
from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.providers.options import validate_options
from tokenkeep_api import rendering
from tokenkeep_api.answers import Data, Page, SourceAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import Nothing, SourceBody
from tokenkeep_api.paging import DEFAULT_LIMIT, Cursor, Limit, id_after, split
from tokenkeep_api.request_bodies import StrictRoute
from tokenkeep_api.source_addresses import check_addresses
from tokenkeep_api.wired import Wired

Reader = Annotated[Caller, needs(Scope.SOURCES_READ)]
Writer = Annotated[Caller, needs(Scope.SOURCES_WRITE)]


def routes(wired: Wired) -> APIRouter:
    """The routes of sources."""
    router = APIRouter(prefix="/v1/sources", tags=["sources"], route_class=StrictRoute)

    @router.post("", status_code=201, response_model=Data[SourceAnswer])
    async def create_source(request: Request, body: SourceBody, caller: Writer) -> Response:
        """Configure a provider. The client secret is write-only."""
        await _check_options(wired, body)

        async def create(work: PostgresWork) -> dict[str, Any]:
            return rendering.source(await wired.create_source(work, caller, body.wanted()))

        return await wired.creations(request, caller, create)

    @router.get("", response_model=Page[SourceAnswer])
    async def list_sources(caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """The environment's sources, oldest first."""
        async with wired.works.reading() as work:
            found = await work.sources.list(caller.environment, after=id_after(cursor), limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda source: source.id)
        return rendering.page([rendering.source(source) for source in shown], next_cursor)

    @router.get("/{source_id}", response_model=Data[SourceAnswer])
    async def get_source(source_id: str, caller: Reader) -> Response:
        """One source."""
        async with wired.works.reading() as work:
            found = await work.sources.get(_parsed(source_id), caller.environment)
        if found is None:
            raise NotFound("source")
        return rendering.data(rendering.source(found))

    @router.post("/{source_id}/pause", response_model=Data[SourceAnswer])
    async def pause_source(request: Request, source_id: str, caller: Writer, _body: Nothing | None = None) -> Response:
        """Stop refreshing for the source. Its accounts keep their state."""
        return await _set_paused(request, caller, source_id, paused=True)

    @router.post("/{source_id}/resume", response_model=Data[SourceAnswer])
    async def resume_source(request: Request, source_id: str, caller: Writer, _body: Nothing | None = None) -> Response:
        """Go on refreshing for the source. What has come due meanwhile is refreshed at once."""
        return await _set_paused(request, caller, source_id, paused=False)

    async def _set_paused(request: Request, caller: Caller, source_id: str, *, paused: bool) -> Response:
        async with wired.works() as work:
            changed = await wired.pause_source(
                work, caller, _parsed(source_id), paused=paused, correlation_id=request.state.correlation_id
            )
        if not paused:
            await wake_accounts(wired.foundation.database, changed.id)
        return rendering.data(rendering.source(changed))

    return router


async def _check_options(wired: Wired, body: SourceBody) -> None:
    try:
        provider = wired.foundation.catalogue.get(body.provider)
    except NotFound:
        raise InvalidInput("provider", "there is no such provider in the catalogue") from None
    await check_addresses(validate_options(provider, body.options), wired.addresses)


def _parsed(text: str) -> SourceId:
    return SourceId(parse_id(IdKind.SOURCE, text, field="source_id"))
