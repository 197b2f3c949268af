"""`POST /v1/events`: events that services send of their accounts."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tokenkeep.application.accept_events import Letter, Reception
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.incoming_event import LONGEST, IncomingType
from tokenkeep_api import rendering
from tokenkeep_api.answers import Data
from tokenkeep_api.authentication import needs
from tokenkeep_api.event_answers import ReceptionAnswer
from tokenkeep_api.request_bodies import CLOUDEVENT, CLOUDEVENTS, EVENTS_PATH, read_json
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

MOST_EVENTS = 1_000

Sender = Annotated[Caller, needs(Scope.EVENTS_WRITE)]

_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST}
_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A CloudEvent 1.0. Extension attributes are passed over; `subject` or `data.account_id` names the account.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": _TEXT,
        "type": {"enum": [kind.value for kind in IncomingType]},
        "subject": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "data": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "account_id": {"type": "string"},
                "environment": {"type": "string"},
                "token_fingerprint": {
                    "type": "string",
                    "pattern": "^[0-9a-fA-F]{16}$",
                    "description": "The first 16 hexadecimal digits of the token's SHA-256; `unauthorized` wants it.",
                },
                "reason": {"type": "string", "maxLength": 200},
            },
        },
    },
}
_BATCH = {"type": "array", "maxItems": MOST_EVENTS, "items": _EVENT}
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"One event, or up to {MOST_EVENTS} of them in an array.",
        "content": {
            "application/json": {"schema": {"anyOf": [_EVENT, _BATCH]}},
            CLOUDEVENT: {"schema": _EVENT},
            CLOUDEVENTS: {"schema": _BATCH},
        },
    }
}


def routes(wired: Wired) -> APIRouter:
    """The route of incoming events."""
    router = APIRouter(tags=["events"], route_class=StrictRoute)

    @router.post(EVENTS_PATH, status_code=202, response_model=Data[list[ReceptionAnswer]], openapi_extra=_DESCRIBED)
    async def send_events(request: Request, caller: Sender) -> Response:
        """Report of accounts, or ask something of them: CloudEvents 1.0, one or a batch. One result for each, in order.

        What is `accepted` is durable and has its effect soon, in the order of arrival for each account, as the API's own
        calls would; the audit trail tells of it. One that is `rejected` stops no other. An event with the `source` and `id` of one
        that came within the last 7 days is a `duplicate`, whatever else it says.

        - `tokenkeep.account.unauthorized`: the provider answered 401. If `token_fingerprint` is that of the present token it is
          replaced, once for all reports; a report about a former one does nothing.
        - `tokenkeep.account.revoked`: the grant is dead. The provider is asked, by a refresh, and its word counts; an account that
          can't be refreshed is disabled as `uninstalled`.
        - `tokenkeep.account.refresh_requested`, `.disable_requested`, `.enable_requested`: as the calls of these names.
        """
        documents = _documents(await read_json(request), request.headers.get("content-type", ""))
        letter = Letter(caller.name, caller.environment, request.state.correlation_id, caller.address)
        receptions = await wired.accept_events(documents, letter)
        return rendering.data([_shown(one) for one in receptions], 202)

    return router


def _documents(body: Any, content_type: str) -> Sequence[object]:
    """The events of a body. Raises `InvalidInput` for a body that is not of the form that it is declared to be."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_batch = isinstance(body, list)
    if media_type == CLOUDEVENTS and not is_batch:
        raise InvalidInput("body", "should be an array of events")
    if not isinstance(body, dict) and (media_type == CLOUDEVENT or not is_batch):
        raise InvalidInput("body", "should be an event")
    documents: Sequence[object] = body if is_batch else [body]
    if len(documents) > MOST_EVENTS:
        raise InvalidInput("body", f"should have at most {MOST_EVENTS} events")
    return documents


def _shown(one: Reception) -> dict[str, Any]:
    shown: dict[str, Any] = {"source": one.source, "id": one.id, "status": one.status.value}
    if one.code is not None:
        shown |= {"code": one.code, "detail": one.detail, "field": one.field}
    return shown
