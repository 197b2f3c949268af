"""`/v1/webhooks`: addresses that the environment's events are delivered to."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import WithJsonSchema
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.adapters.postgres.webhook_deliveries import deliveries_of
from tokenkeep.adapters.token_endpoint.addresses import check_url
from tokenkeep.application.manage_webhooks import Parking
from tokenkeep.application.webhooks import DeliveryFilter, Span, WebhookView
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.conflicts import WebhookParking
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.event_feed import full_type
from tokenkeep.domain.ids import EventId, IdKind, WebhookId, parse_id
from tokenkeep.domain.webhook_tries import DeliveryState
from tokenkeep_api import rendering, webhook_answers
from tokenkeep_api.answers import Data, Page
from tokenkeep_api.authentication import needs
from tokenkeep_api.bodies import Nothing
from tokenkeep_api.described_problems import also
from tokenkeep_api.paging import DEFAULT_LIMIT, Cursor, Limit, cursor_after, id_after, number_after, split
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.webhook_answers import (
    DeliveryAnswer,
    NewWebhookAnswer,
    RedeliveryAnswer,
    TrialAnswer,
    WebhookAnswer,
)
from tokenkeep_api.webhook_bodies import (
    RedeliveryBody,
    RotationBody,
    TypeName,
    WebhookBody,
    WebhookChangeBody,
    full_names,
)
from tokenkeep_api.wired import Wired

Writer = Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
State = Annotated[DeliveryState | None, Query(description="Only deliveries that stand like this.")]
OfType = Annotated[
    TypeName | None,
    Query(alias="type", description="Only of this type; `account.disabled` is short for `tokenkeep.account.disabled`."),
]
OfEvent = Annotated[
    str | None,
    Query(max_length=64, description="Only of this event."),
    WithJsonSchema({"type": "string"}),
]


def routes(wired: Wired) -> APIRouter:
    """The routes of webhooks."""
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictRoute)
    _add_making(router, wired)
    _add_changing(router, wired)
    _add_delivering(router, wired)
    return router


def _add_making(router: APIRouter, wired: Wired) -> None:
    @router.post("", status_code=201, response_model=Data[NewWebhookAnswer])
    async def create_webhook(request: Request, body: WebhookBody, caller: Writer) -> Response:
        """Have events delivered to an address. Its secret is shown now and never again. It is told what happens from now on."""
        wanted = body.wanted()
        check_url(wanted.url, policy=wired.addresses, field="url")

        async def create(work: PostgresWork, heard_from: int) -> dict[str, Any]:
            made, secret = await wired.webhooks.create(work, caller, wanted, heard_from=heard_from)
            return webhook_answers.new_webhook(await _view(work, caller, made.id), secret)

        return await wired.creations.prepared(request, caller, wired.event_tail.settle, create, repeatable=True)

    @router.get("", response_model=Page[WebhookAnswer])
    async def list_webhooks(caller: Writer, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """The environment's webhooks, oldest first."""
        async with wired.works.reading() as work:
            found = await work.webhooks.list(caller.environment, after=id_after(cursor), limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda view: view.webhook.id)
        return rendering.page([webhook_answers.webhook(view) for view in shown], next_cursor)

    @router.get("/{webhook_id}", response_model=Data[WebhookAnswer])
    async def get_webhook(webhook_id: str, caller: Writer) -> Response:
        """One webhook."""
        async with wired.works.reading() as work:
            return rendering.data(webhook_answers.webhook(await _view(work, caller, _parsed(webhook_id))))


def _add_changing(router: APIRouter, wired: Wired) -> None:
    @router.patch("/{webhook_id}", response_model=Data[WebhookAnswer], responses=also(409))
    async def update_webhook(webhook_id: str, caller: Writer, body: WebhookChangeBody | None = None) -> Response:
        """Change what is given. One that is enabled again is told what happens from then on; the rest can be redelivered."""
        parsed = _parsed(webhook_id)
        if body is None:
            raise InvalidInput("body", "names nothing that is to be changed")
        if body.url is not None:
            check_url(body.url, policy=wired.addresses, field="url")
        heard_from = await wired.event_tail.settle() if body.enabled else 0
        async with wired.works() as work:
            changed = await wired.webhooks.update(work, caller, parsed, body.wanted(heard_from=heard_from))
            view = await _view(work, caller, parsed)
        if isinstance(changed, Parking):
            raise WebhookParking
        return rendering.data(webhook_answers.webhook(view))

    @router.delete("/{webhook_id}", status_code=204)
    async def delete_webhook(webhook_id: str, caller: Writer) -> Response:
        """Delete a webhook, with its deliveries."""
        async with wired.works() as work:
            await wired.webhooks.delete(work, caller, _parsed(webhook_id))
        return Response(status_code=204)

    @router.post("/{webhook_id}/rotate-secret", status_code=201, response_model=Data[NewWebhookAnswer])
    async def rotate_secret(
        request: Request, webhook_id: str, caller: Writer, body: RotationBody | None = None
    ) -> Response:
        """Make a new secret. For `overlap_s`, a day, deliveries are signed with the former one as well."""
        parsed, overlap = _parsed(webhook_id), (body or RotationBody()).overlap

        async def create(work: PostgresWork) -> dict[str, Any]:
            _, secret = await wired.webhooks.rotate(work, caller, parsed, overlap=overlap)
            return webhook_answers.new_webhook(await _view(work, caller, parsed), secret)

        return await wired.creations(request, caller, create)


def _add_delivering(router: APIRouter, wired: Wired) -> None:
    @router.post("/{webhook_id}/test", response_model=Data[TrialAnswer])
    async def try_webhook(webhook_id: str, caller: Writer, _body: Nothing | None = None) -> Response:
        """Send an event `tokenkeep.webhook.test` to this webhook, now, and tell what came back. It counts for nothing, and may be disabled."""
        event_id, reply = await wired.webhooks.try_out(caller, _parsed(webhook_id))
        return rendering.data(webhook_answers.trial(event_id, reply))

    @router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryAnswer])
    async def list_deliveries(
        webhook_id: str,
        caller: Writer,
        *,
        state: State = None,
        of_type: OfType = None,
        event_id: OfEvent = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response:
        """What was, is and will be delivered, the latest event first. Deliveries are kept for 30 days, unless the installation says otherwise."""
        parsed = _parsed(webhook_id)
        wanted = DeliveryFilter(
            state,
            None if of_type is None else full_type(of_type),
            None if event_id is None else EventId(parse_id(IdKind.EVENT, event_id, field="event_id")),
        )
        async with wired.works.reading() as work:
            await _view(work, caller, parsed)
            before = number_after(cursor)
            found = await deliveries_of(work.connection, parsed, wanted, before=before, limit=limit + 1)
        shown, next_cursor = split(found, limit, lambda one: one.position)
        return rendering.page([webhook_answers.delivery(one) for one in shown], next_cursor)

    @router.post("/{webhook_id}/redeliver", status_code=202, response_model=Data[RedeliveryAnswer], responses=also(409))
    async def redeliver(webhook_id: str, body: RedeliveryBody, caller: Writer) -> Response:
        """Deliver once more, with the same ids: one event, or those of a time, also those of before the webhook was there."""
        parsed = _parsed(webhook_id)
        if body.event_id is not None:
            event_id = EventId(parse_id(IdKind.EVENT, body.event_id, field="event_id"))
            count, going_on = await wired.webhooks.redeliver.one(caller, parsed, event_id), None
        else:
            assert body.since is not None  # noqa: S101 - the body has one of both
            types, after = full_names(body.types), number_after(body.cursor)
            span = Span(body.since, body.until, types, body.include_delivered, after)
            count, going_on = await wired.webhooks.redeliver.of_span(caller, parsed, span)
        next_cursor = None if going_on is None else cursor_after(going_on)
        return rendering.data({"count": count, "next_cursor": next_cursor}, 202)


async def _view(work: PostgresWork, caller: Caller, webhook_id: WebhookId) -> WebhookView:
    found = await work.webhooks.view(webhook_id, caller.environment)
    if found is None:
        raise NotFound("webhook")
    return found


def _parsed(text: str) -> WebhookId:
    return WebhookId(parse_id(IdKind.WEBHOOK, text, field="webhook_id"))
