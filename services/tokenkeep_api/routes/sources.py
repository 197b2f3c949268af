"""`/v1/sources`: a provider, configured with the developer's own client."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.resume_source import Decision
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.domain.source import Source
from tokenkeep.providers.options import DISCOVERY_URL, check_options, validate_options
from tokenkeep_api import rendering
from tokenkeep_api.answers import Data, Page, SourceAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import Nothing, ResumeBody, SourceBody, SourceChangeBody
from tokenkeep_api.described_problems import also
from tokenkeep_api.paging import DEFAULT_LIMIT, Cursor, Limit, id_after, split
from tokenkeep_api.source_addresses import check_addresses
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Reader = Annotated[Caller, needs(Scope.SOURCES_READ)]
Writer = Annotated[Caller, needs(Scope.SOURCES_WRITE)]


def routes(wired: Wired) -> APIRouter:
    """The routes of sources."""
    router = APIRouter(prefix="/v1/sources", tags=["sources"], route_class=StrictRoute)
    catalogue = wired.foundation.catalogue

    @router.post("", status_code=201, response_model=Data[SourceAnswer])
    async def create_source(request: Request, body: SourceBody, caller: Writer) -> Response:
        """Configure a provider. The client secret is write-only."""

        async def create(work: PostgresWork, options: Mapping[str, Any]) -> dict[str, Any]:
            made = await wired.create_source(work, caller, replace(body.wanted(), options=options))
            return rendering.source(made, catalogue)

        # Looked at under the reservation: who repeats a request gets its answer without the network being asked again.
        return await wired.creations.prepared(
            request,
            caller,
            lambda: _settled_options(wired, body.provider, body.options, has_secret=body.client_secret is not None),
            create,
            repeatable=True,
        )

    @router.get("", response_model=Page[SourceAnswer])
    async def list_sources(caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """The environment's sources, oldest first."""
        async with wired.works.reading() as work:
            found = await work.sources.list(caller.environment, after=id_after(cursor), limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda source: source.id)
        return rendering.page([rendering.source(source, catalogue) for source in shown], next_cursor)

    @router.get("/{source_id}", response_model=Data[SourceAnswer])
    async def get_source(source_id: str, caller: Reader) -> Response:
        """One source."""
        return rendering.data(rendering.source(await _found(wired, caller, _parsed(source_id)), catalogue))

    @router.patch("/{source_id}", response_model=Data[SourceAnswer])
    async def update_source(
        request: Request, source_id: str, caller: Writer, body: SourceChangeBody | None = None
    ) -> Response:
        """Change what is given. A changed client is tried with one account before the others follow.

        A new client secret ends a pause that came of the provider refusing the client.

        Addresses that would send the refresh tokens of the source's accounts elsewhere take the scope `credentials:release` too.
        """
        parsed = _parsed(source_id)
        found = await _found(wired, caller, parsed)
        if body is None:
            raise InvalidInput("body", "names nothing that is to be changed")
        wanted = body.wanted()
        if body.options is not None:
            has_secret = wanted.client_secret is not None or (
                not wanted.drop_secret and await _holds_secret(wired, parsed)
            )
            options = await _settled_options(wired, found.provider, body.options, has_secret=has_secret)
            wanted = replace(wanted, options=options)
        async with wired.works() as work:
            changed = await wired.update_source(
                work, caller, parsed, wanted, correlation_id=request.state.correlation_id
            )
        return rendering.data(rendering.source(changed, catalogue))

    _add_switches(router, wired)
    return router


def _add_switches(router: APIRouter, wired: Wired) -> None:
    catalogue = wired.foundation.catalogue

    @router.delete("/{source_id}", status_code=204, responses=also(409))
    async def delete_source(source_id: str, caller: Writer) -> Response:
        """Delete a source that has no accounts any more. Connect links that are open for it end.

        It is `source_in_use` while it has accounts, whatever their states, or grants that its provider is still to be told to
        revoke: release those whose tokens you want back, delete them, and try again.
        """
        async with wired.works() as work:
            await wired.delete_source(work, caller, _parsed(source_id))
        return Response(status_code=204)

    @router.post("/{source_id}/pause", response_model=Data[SourceAnswer])
    async def pause_source(request: Request, source_id: str, caller: Writer, _body: Nothing | None = None) -> Response:
        """Stop refreshing for the source. Its accounts keep their state."""
        async with wired.works() as work:
            paused = await wired.pause_source(
                work, caller, _parsed(source_id), correlation_id=request.state.correlation_id
            )
        return rendering.data(rendering.source(paused, catalogue))

    @router.post("/{source_id}/resume", response_model=Data[SourceAnswer], responses=also(409))
    async def resume_source(
        request: Request, source_id: str, caller: Writer, body: ResumeBody | None = None
    ) -> Response:
        """Go on refreshing for the source. What has come due meanwhile is refreshed within seconds.

        After a mass revocation, `confirm_revocations` says whether the provider is believed.
        """
        decision = Decision(caller, body is not None and body.confirm_revocations, request.state.correlation_id)
        return rendering.data(rendering.source(await wired.resume_source(_parsed(source_id), decision), catalogue))


async def _found(wired: Wired, caller: Caller, source_id: SourceId) -> Source:
    async with wired.works.reading() as work:
        found = await work.sources.get(source_id, caller.environment)
    if found is None:
        raise NotFound("source")
    return found


async def _holds_secret(wired: Wired, source_id: SourceId) -> bool:
    async with wired.works.reading() as work:
        return (await work.sources.config(source_id)).client_secret_ciphertext is not None


async def _settled_options(
    wired: Wired, slug: str, options: Mapping[str, Any], *, has_secret: bool
) -> Mapping[str, Any]:
    """The options as they are to be stored: filled from the server's metadata if they say where, and checked."""
    try:
        provider = wired.foundation.catalogue.get(slug)
    except NotFound:
        raise InvalidInput("provider", "there is no such provider in the catalogue") from None
    if DISCOVERY_URL in options:
        await check_addresses(provider, check_options(provider, options), wired.addresses)
        options = await wired.discover_metadata(options, has_secret=has_secret)
    await check_addresses(provider, validate_options(provider, options), wired.addresses)
    return options


def _parsed(text: str) -> SourceId:
    return SourceId(parse_id(IdKind.SOURCE, text, field="source_id"))
