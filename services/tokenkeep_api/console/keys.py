"""API keys: listed, made, withdrawn."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.domain.api_key import Scope
from tokenkeep_api.console.acting import Acting
from tokenkeep_api.console.acts import KEY_ACTS
from tokenkeep_api.console.fields import Field, filled, place_of, read
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.paging import MOST

_PAGE: Final = 100
_SCOPE: Final = "scope:"
_FIELDS: Final = (
    Field("name", "Name", required=True, help="What it is for, such as “billing service”."),
    Field("expires_at", "Ends", help="A time such as 2030-01-31T12:00:00Z. Left empty, it does not end by itself."),
)


async def _name_of(visit: Visit, key_id: str) -> str:
    """The API gives keys in lists alone. One that is far behind is called by its id."""
    found = (await visit.read("/v1/api-keys", {"limit": MOST}))["data"]
    return next((str(key["name"]) for key in found if key["id"] == key_id), key_id)


class Keys:
    """The endpoints."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._acting = Acting(KEY_ACTS, "/keys", "/v1/api-keys", _name_of)

    def routes(self) -> list[Route]:
        """In the order in which they must be matched."""
        return [
            NamedRoute("/console/keys", self._door.look(self.list), methods=["GET"]),
            NamedRoute("/console/keys", self._door.change(self.create), methods=["POST"]),
            *self._acting.routes(self._door),
        ]

    async def list(self, visit: Visit) -> Response:
        """The environment's keys, and the form for a new one."""
        return await self._page(visit, _FIELDS, None)

    async def create(self, visit: Visit) -> Response:
        """The form was sent: the key is shown, once."""
        scopes = [scope.value for scope in Scope if f"{_SCOPE}{scope.value}" in visit.form]
        body = {**read(_FIELDS, visit.form), "environment": visit.caller.environment, "scopes": scopes}
        try:
            made = (await visit.send("POST", "/v1/api-keys", body))["data"]
        except Refused as refused:
            says = f"{refused.detail[:1].upper()}{refused.detail[1:]}."
            return await self._page(visit, filled(_FIELDS, visit.form, wrong=refused.field, says=says), refused)
        return visit.show(
            "new-secret.html", title="New key", what="API key", secret=made["key"], named=made["name"], back="/keys"
        )

    async def _page(self, visit: Visit, fields: Sequence[Field], refused: Refused | None) -> Response:
        found = await visit.read("/v1/api-keys", {"limit": _PAGE, "cursor": visit.request.query_params.get("cursor")})
        keys: Sequence[Mapping[str, Any]] = found["data"]
        return visit.show(
            "keys.html",
            200 if refused is None else refused.status,
            title="API keys",
            keys=keys,
            cursor=found["next_cursor"],
            fields=fields,
            scopes=[scope.value for scope in Scope],
            chosen={name.removeprefix(_SCOPE) for name in visit.form if name.startswith(_SCOPE)},
            problem=None if refused is None or place_of(fields, refused.field) else refused,
        )
