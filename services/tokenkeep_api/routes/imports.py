"""`POST /v1/accounts/import`: accounts by the thousand."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tokenkeep.application.import_accounts import ImportRequest
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep_api.answers import ImportResultAnswer
from tokenkeep_api.authentication import needs
from tokenkeep_api.creations import IDEMPOTENCY_HEADER, idempotency_key
from tokenkeep_api.described_problems import also
from tokenkeep_api.importing import BodyLines
from tokenkeep_api.request_bodies import IMPORT_PATH, NDJSON
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

Writer = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE)]
Source = Annotated[
    str | None, Query(description="The source of all lines. A line may leave it out, and may not name another one.")
]

_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One account a line, as `POST /v1/accounts` takes it; of any size, each line at most 1 MiB.",
        "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/AccountBody"}}},
    },
    "parameters": [
        {
            "name": IDEMPOTENCY_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 255},
            "description": "An import that broke off is gone on with by the same key and the same lines, for two days. "
            "Lines that are done give the results that they gave.",
        }
    ],
}


class NdjsonAnswer(Response):
    """An answer of one JSON document a line."""

    media_type = NDJSON


def routes(wired: Wired) -> APIRouter:
    """The route of imports."""
    router = APIRouter(tags=["accounts"], route_class=StrictRoute)

    @router.post(
        IMPORT_PATH,
        response_class=NdjsonAnswer,
        response_model=ImportResultAnswer,
        openapi_extra=_DESCRIBED,
        responses=also(404, 408, 409, 415),
        response_description="One result a line, in order, as it goes.",
    )
    async def import_accounts(request: Request, caller: Writer, source_id: Source = None) -> Response:
        """Take over live credentials by the thousand: NDJSON in, one result a line out.

        A line that is refused stops no other. Results come while the request is still being sent, so read them meanwhile
        (curl does): a client that does not is waited for. A stream that can't go on ends with a line that says why, for the
        first line that was not taken, and is cut; send the same again under the same key.
        """
        parsed = None if source_id is None else SourceId(parse_id(IdKind.SOURCE, source_id, field="source_id"))
        wanted = ImportRequest(
            caller=caller,
            key=idempotency_key(request),
            source_id=parsed,
            correlation_id=request.state.correlation_id,
        )
        return wired.importing(wanted, BodyLines(wired.foundation.catalogue, source_id))

    return router
