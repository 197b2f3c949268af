"""`/v1/providers`: the catalogue."""

from hashlib import sha256
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Provider
from tokenkeep_api import rendering
from tokenkeep_api.answers import Data, Page, ProviderAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Reader = Annotated[Caller, needs(Scope.SOURCES_READ)]
Found = Annotated[str | None, Query(max_length=100, description="Only those whose slug or name holds this.")]


class RenderedCatalogue:
    """The catalogue's entries as JSON. Each is written once: all of them together are two megabytes of schemas."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._written: dict[str, bytes] = {}

    def page(self, auth_type: AuthType | None, category: str | None, q: str | None) -> bytes:
        """The answer that lists the entries of this kind."""
        found = [it for it in self._catalogue.all() if _is_wanted(it, auth_type, category, q)]
        return b'{"data":[' + b",".join(self._entry(it) for it in found) + b'],"next_cursor":null}'

    def one(self, slug: str) -> bytes:
        """The answer that shows one entry. Raises `NotFound` where there is none."""
        return b'{"data":' + self._entry(self._catalogue.get(slug)) + b"}"

    def _entry(self, it: Provider) -> bytes:
        if it.slug not in self._written:
            self._written[it.slug] = orjson.dumps(rendering.provider(it))
        return self._written[it.slug]


def routes(wired: Wired) -> APIRouter:
    """The routes of the catalogue."""
    router = APIRouter(prefix="/v1/providers", tags=["providers"], route_class=StrictRoute)
    rendered = RenderedCatalogue(wired.foundation.catalogue)

    @router.get("", response_model=Page[ProviderAnswer])
    async def list_providers(
        request: Request,
        _caller: Reader,
        auth_type: AuthType | None = None,
        category: Annotated[str | None, Query(max_length=100)] = None,
        q: Found = None,
    ) -> Response:
        """Every provider of the catalogue, with the schemas of what it takes. Honours If-None-Match."""
        return _answer(request, rendered.page(auth_type, category, q))

    @router.get("/{slug}", response_model=Data[ProviderAnswer])
    async def get_provider(request: Request, slug: str, _caller: Reader) -> Response:
        """One provider. Honours If-None-Match."""
        return _answer(request, rendered.one(slug))

    return router


def _is_wanted(it: Provider, auth_type: AuthType | None, category: str | None, q: str | None) -> bool:
    if auth_type is not None and it.auth_type is not auth_type:
        return False
    if category is not None and category not in it.categories:
        return False
    return q is None or q.lower() in it.slug or q.lower() in it.name.lower()


def _answer(request: Request, body: bytes) -> Response:
    """The body with its ETag, or that the caller has it already (RFC 9110, section 13.1.2)."""
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type=rendering.JSON_TYPE)
