"""`/v1/api-keys`: who may call."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.ids import ApiKeyId, IdKind, parse_id
from tokenkeep_api import rendering
from tokenkeep_api.answers import ApiKeyAnswer, Data, NewApiKeyAnswer, Page
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import ApiKeyBody
from tokenkeep_api.paging import DEFAULT_LIMIT, Cursor, Limit, id_after, split
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Admin = Annotated[Caller, needs(Scope.ADMIN)]


def routes(wired: Wired) -> APIRouter:
    """The routes of API keys."""
    router = APIRouter(prefix="/v1/api-keys", tags=["api keys"], route_class=StrictRoute)

    @router.post("", status_code=201, response_model=Data[NewApiKeyAnswer])
    async def create_api_key(request: Request, body: ApiKeyBody, caller: Admin) -> Response:
        """Make a key. It is shown now and never again."""

        async def create(work: PostgresWork) -> dict[str, Any]:
            described, key = await wired.issue_api_key(
                work,
                caller,
                name=body.name,
                environment=body.environment,
                scopes=frozenset(body.scopes),
                expires_at=body.expires_at,
            )
            document = rendering.api_key(described)
            return {"id": document["id"], "key": key.reveal(), **document}

        return await wired.creations(request, caller, create)

    @router.get("", response_model=Page[ApiKeyAnswer])
    async def list_api_keys(caller: Admin, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """The environment's keys, oldest first."""
        async with wired.works.reading() as work:
            found = await work.api_keys.list(caller.environment, after=id_after(cursor), limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda key: key.id)
        return rendering.page([rendering.api_key(key) for key in shown], next_cursor)

    @router.delete("/{key_id}", status_code=204)
    async def delete_api_key(key_id: str, caller: Admin) -> Response:
        """Withdraw a key. It stops working at once."""
        parsed = ApiKeyId(parse_id(IdKind.API_KEY, key_id, field="key_id"))
        async with wired.works() as work:
            await wired.withdraw_api_key(work, caller, parsed)
        return Response(status_code=204)

    return router
