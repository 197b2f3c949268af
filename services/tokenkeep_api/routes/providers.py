"""`/v1/providers`: the catalogue."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep_api import rendering
from tokenkeep_api.answers import Data, Page, ProviderAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.request_bodies import StrictRoute
from tokenkeep_api.wired import Wired


def routes(wired: Wired) -> APIRouter:
    """The routes of the catalogue."""
    router = APIRouter(prefix="/v1/providers", tags=["providers"], route_class=StrictRoute)
    catalogue = wired.foundation.catalogue

    @router.get("", response_model=Page[ProviderAnswer])
    async def list_providers(_caller: Annotated[Caller, needs(Scope.SOURCES_READ)]) -> Response:
        """Every provider of the catalogue, with the schemas of what it takes."""
        return rendering.page([rendering.provider(entry) for entry in catalogue.all()], None)

    @router.get("/{slug}", response_model=Data[ProviderAnswer])
    async def get_provider(slug: str, _caller: Annotated[Caller, needs(Scope.SOURCES_READ)]) -> Response:
        """One provider."""
        return rendering.data(rendering.provider(catalogue.get(slug)))

    return router
