"""Webhooks: made, changed, tried; what was delivered to them, and what was not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.domain.webhook_tries import DeliveryState
from tokenkeep_api.console.acting import Acting
from tokenkeep_api.console.acts import WEBHOOK_ACTS
from tokenkeep_api.console.fields import Field, Kind, filled, fingerprint, place_of, read
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute

_PAGE: Final = 50
_MOST_ROUNDS: Final = 6
"""Half a minute: nobody waits longer for a page."""
_YES_OR_NO: Final = (("false", "no"), ("true", "yes"))
_FIELDS: Final = (
    Field("url", "Address", required=True, hint="https://example.com/hooks/tokenkeep"),
    Field("description", "Description"),
    Field(
        "types", "Types of events", Kind.LINES, help="One a line, such as account.disabled. Left empty: all of them."
    ),
    Field(
        "ordered",
        "In order for each account",
        Kind.FLAG,
        required=True,
        choices=_YES_OR_NO,
        value="false",
        help="With it, later events of an account wait until an earlier one has arrived.",
    ),
)
_ENABLED: Final = Field("enabled", "Enabled", Kind.FLAG, required=True, choices=_YES_OR_NO)


class WebhookPages:
    """The endpoints."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._acting = Acting(WEBHOOK_ACTS, "/webhooks", "/v1/webhooks", _name_of)

    def routes(self) -> list[Route]:
        """In the order in which they must be matched."""
        look, change = self._door.look, self._door.change
        return [
            NamedRoute("/console/webhooks", look(self.list), methods=["GET"]),
            NamedRoute("/console/webhooks/new", look(self.ask_new), methods=["GET"]),
            NamedRoute("/console/webhooks/new", change(self.create), methods=["POST"]),
            NamedRoute("/console/webhooks/{id}", look(self.show), methods=["GET"]),
            NamedRoute("/console/webhooks/{id}/edit", look(self.ask_change), methods=["GET"]),
            NamedRoute("/console/webhooks/{id}/edit", change(self.change), methods=["POST"]),
            NamedRoute("/console/webhooks/{id}/test", change(self.test), methods=["POST"]),
            NamedRoute("/console/webhooks/{id}/rotate-secret", change(self.rotate), methods=["POST"]),
            NamedRoute("/console/webhooks/{id}/redeliver", change(self.redeliver), methods=["POST"]),
            *self._acting.routes(self._door),
        ]

    async def list(self, visit: Visit) -> Response:
        """All of them, in pages."""
        found = await visit.read("/v1/webhooks", {"limit": _PAGE, "cursor": visit.request.query_params.get("cursor")})
        return visit.show("webhooks.html", title="Webhooks", webhooks=found["data"], cursor=found["next_cursor"])

    async def ask_new(self, visit: Visit) -> Response:
        """The form."""
        return self._form(visit, None, _FIELDS, None)

    async def create(self, visit: Visit) -> Response:
        """The form was sent: the secret is shown, once."""
        try:
            made = (await visit.send("POST", "/v1/webhooks", read(_FIELDS, visit.form)))["data"]
        except Refused as refused:
            return self._form(visit, None, _as_sent(visit, _FIELDS, refused), refused)
        return self._secret(visit, made)

    async def show(self, visit: Visit) -> Response:
        """One of them, and its deliveries."""
        webhook = await _webhook(visit)
        given = visit.request.query_params
        wanted = {"state": given.get("state"), "cursor": given.get("cursor"), "limit": _PAGE}
        found = await visit.read(f"/v1/webhooks/{webhook['id']}/deliveries", wanted)
        return visit.show(
            "webhook.html",
            title="Webhook",
            webhook=webhook,
            deliveries=found["data"],
            cursor=found["next_cursor"],
            states=[it.value for it in DeliveryState],
            acts=self._acting.offered(visit, "delete"),
            trial=None,
        )

    async def ask_change(self, visit: Visit) -> Response:
        """What there is to change."""
        webhook = await _webhook(visit)
        return self._form(visit, webhook, _change_fields(webhook), None)

    async def change(self, visit: Visit) -> Response:
        """The form was sent; what is empty is taken away."""
        webhook = await _webhook(visit)
        fields = _change_fields(webhook)
        overtaken = visit.overtaken(fields)
        if overtaken is not None:
            return self._form(visit, webhook, fields, overtaken)
        given = {"types": None, "description": None, **read(fields, visit.form)}
        try:
            await visit.send("PATCH", f"/v1/webhooks/{webhook['id']}", given)
        except Refused as refused:
            return self._form(visit, webhook, _as_sent(visit, fields, refused), refused)
        return visit.onward(f"/webhooks/{webhook['id']}", "saved")

    async def test(self, visit: Visit) -> Response:
        """Send an event now, and say what came back."""
        webhook = await _webhook(visit)
        trial = (await visit.send("POST", f"/v1/webhooks/{webhook['id']}/test"))["data"]
        return visit.show("webhook-trial.html", title="Test", webhook=webhook, trial=trial)

    async def rotate(self, visit: Visit) -> Response:
        """A new secret, shown once."""
        named = visit.request.path_params["id"]
        return self._secret(visit, (await visit.send("POST", f"/v1/webhooks/{named}/rotate-secret"))["data"])

    async def redeliver(self, visit: Visit) -> Response:
        """One event once more, or what of a time has not arrived."""
        named = visit.request.path_params["id"]
        span = {name: visit.form[name].strip() for name in ("since", "until") if visit.form.get(name, "").strip()}
        body = span or {"event_id": visit.form.get("event_id", "")}
        for _ in range(_MOST_ROUNDS):
            made = (await visit.send("POST", f"/v1/webhooks/{named}/redeliver", body))["data"]
            if made["next_cursor"] is None:
                return visit.onward(f"/webhooks/{named}", "redelivered")
            body = {**body, "cursor": made["next_cursor"]}
        return visit.onward(f"/webhooks/{named}", "redelivered_some")

    def _secret(self, visit: Visit, made: Mapping[str, Any]) -> Response:
        return visit.show(
            "new-secret.html",
            title="Secret",
            what="secret",
            secret=made["secret"],
            named=made["url"],
            back=f"/webhooks/{made['id']}",
        )

    def _form(
        self, visit: Visit, webhook: Mapping[str, Any] | None, fields: Sequence[Field], refused: Refused | None
    ) -> Response:
        return visit.show(
            "webhook-form.html",
            200 if refused is None else refused.status,
            title="New webhook" if webhook is None else "Edit",
            webhook=webhook,
            fields=fields,
            seen="" if webhook is None else fingerprint(_change_fields(webhook)),
            problem=None if refused is None or place_of(fields, refused.field) else refused,
        )


def _as_sent(visit: Visit, fields: Sequence[Field], refused: Refused) -> Sequence[Field]:
    says = f"{refused.detail[:1].upper()}{refused.detail[1:]}."
    return filled(fields, visit.form, wrong=refused.field, says=says)


async def _name_of(visit: Visit, webhook_id: str) -> str:
    return str((await visit.read(f"/v1/webhooks/{webhook_id}"))["data"]["url"])


async def _webhook(visit: Visit) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await visit.read(f"/v1/webhooks/{visit.request.path_params['id']}"))["data"]
    return found


def _change_fields(webhook: Mapping[str, Any]) -> Sequence[Field]:
    given = {
        "url": webhook["url"],
        "description": webhook["description"] or "",
        "types": "\n".join(it.removeprefix("tokenkeep.") for it in webhook["types"] or ()),
        "ordered": str(webhook["ordered"]).lower(),
        "enabled": str(webhook["enabled"]).lower(),
    }
    return [replace(it, value=given[it.name]) for it in (*_FIELDS, _ENABLED)]
