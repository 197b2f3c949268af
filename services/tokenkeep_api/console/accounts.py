"""Accounts: found, looked at, created, changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.domain.account import AccountState, Health
from tokenkeep.domain.api_key import Scope
from tokenkeep_api.console.account_forms import AccountForms
from tokenkeep_api.console.acting import Acting
from tokenkeep_api.console.acts import ACCOUNT_ACTS
from tokenkeep_api.console.fields import Field, Kind
from tokenkeep_api.console.listing import all_sources
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.replacement import ask_replacement, replace_credentials
from tokenkeep_api.console.timeline import read_timeline
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute

_PAGE: Final = 50
_GONE: Final = "not_found"
_FILTERS: Final = ("source_id", "state", "health", "provider", "expires_before", "cursor")
_MAX_LINE: Final = 64


class Accounts:
    """The endpoints."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._acting = Acting(ACCOUNT_ACTS, "/accounts", "/v1/accounts", _name_of)
        self._forms = AccountForms()

    def routes(self) -> list[Route]:
        """In the order in which they must be matched."""
        look, change = self._door.look, self._door.change
        return [
            NamedRoute("/console/accounts", look(self.list), methods=["GET"]),
            NamedRoute("/console/accounts/new", look(self._forms.ask_new), methods=["GET"]),
            NamedRoute("/console/accounts/new", change(self._forms.create), methods=["POST"]),
            NamedRoute("/console/accounts/{id}", look(self.show), methods=["GET"]),
            NamedRoute("/console/accounts/{id}/edit", look(self._forms.ask_change), methods=["GET"]),
            NamedRoute("/console/accounts/{id}/edit", change(self._forms.change), methods=["POST"]),
            NamedRoute("/console/accounts/{id}/credentials", look(ask_replacement), methods=["GET"]),
            NamedRoute("/console/accounts/{id}/credentials", change(replace_credentials), methods=["POST"]),
            NamedRoute("/console/accounts/{id}/link", change(self.link), methods=["POST"]),
            NamedRoute("/console/accounts/{id}/release", look(self.ask_release), methods=["GET"]),
            NamedRoute("/console/accounts/{id}/release", change(self.release), methods=["POST"]),
            *self._acting.routes(self._door),
        ]

    async def list(self, visit: Visit) -> Response:
        """Search, filter, pages."""
        given = visit.request.query_params
        searched = given.get("q", "").strip()
        if searched.startswith("acc_"):
            return visit.onward(f"/accounts/{searched[:_MAX_LINE].replace('/', '')}")
        wanted = {name: given.get(name, "") for name in _FILTERS} | _sought(searched) | {"limit": _PAGE}
        found = await visit.read("/v1/accounts", wanted)
        sources = await all_sources(visit)
        return visit.show(
            "accounts.html",
            title="Accounts",
            accounts=found["data"],
            cursor=found["next_cursor"],
            filters=_filter_fields(given, sources),
            names={source["id"]: source["name"] for source in sources},
        )

    async def show(self, visit: Visit) -> Response:
        """One account, with its timeline."""
        path = f"/v1/accounts/{visit.request.path_params['id']}"
        account = (await visit.read(path))["data"]
        timeline = await read_timeline(visit, path)
        may_write, sees_sources = visit.may(Scope.ACCOUNTS_WRITE), visit.may(Scope.SOURCES_READ)
        return visit.show(
            "account.html",
            title=account["external_id"] or account["id"],
            account=account,
            source=await _source_of(visit, account) if sees_sources else None,
            acts=self._acting.offered(visit, *_possible(account)),
            may_release=visit.may(Scope.CREDENTIALS_RELEASE) and account["custody"] == "held",
            may_write=may_write,
            may_replace=may_write and sees_sources,
            timeline=timeline,
        )

    async def link(self, visit: Visit) -> Response:
        """A link by which the account's user can connect again."""
        account_id = visit.request.path_params["id"]
        made = (await visit.send("POST", "/v1/connect/sessions", {"account_id": account_id}))["data"]
        return visit.show("link.html", title="Connect link", link=made, back=f"/accounts/{account_id}")

    async def ask_release(self, visit: Visit) -> Response:
        """What it would mean to hand the refresh token back."""
        account_id = visit.request.path_params["id"]
        account = (await visit.read(f"/v1/accounts/{account_id}"))["data"]
        return visit.show("release.html", title="Release", account=account, released=None)

    async def release(self, visit: Visit) -> Response:
        """The credentials, as the API hands them back."""
        path = f"/v1/accounts/{visit.request.path_params['id']}"
        released = (await visit.send("POST", f"{path}/release"))["data"]
        account = (await visit.read(path))["data"]
        return visit.show("release.html", title="Released", account=account, released=released)


async def _source_of(visit: Visit, account: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The account's source; None once it was deleted."""
    try:
        source: Mapping[str, Any] = (await visit.read(f"/v1/sources/{account['source_id']}"))["data"]
    except Refused as refused:
        if refused.code != _GONE:
            raise
        return None
    return source


async def _name_of(visit: Visit, account_id: str) -> str:
    account = (await visit.read(f"/v1/accounts/{account_id}"))["data"]
    return str(account["external_id"] or account["id"])


def _sought(text: str) -> dict[str, str]:
    """`name=value` is looked for in the metadata, anything else among the external ids."""
    name, sign, value = text.partition("=")
    return {f"metadata.{name.strip()}": value.strip()} if sign and name.strip() else {"external_id": text}


def _filter_fields(given: Mapping[str, str], sources: Sequence[Mapping[str, Any]]) -> Sequence[Field]:
    chosen = [
        ("source_id", "Source", [(it["id"], f"{it['name']} ({it['provider']})") for it in sources]),
        ("state", "State", [(it.value, it.value) for it in AccountState]),
        ("health", "Health", [(it.value, it.value) for it in Health]),
    ]
    fields = [
        Field(name, title, Kind.CHOICE, required=True, value=given.get(name, ""), choices=[("", "any"), *choices])
        for name, title, choices in chosen
        if choices
    ]
    search = Field("q", "Search", required=True, value=given.get("q", ""), hint="external id, acc_…, or name=value")
    return [search, *(replace(field, required=False) for field in fields)]


def _possible(account: Mapping[str, Any]) -> Sequence[str]:
    """What makes sense for an account that stands like this; the API has the last word."""
    match account["state"]:
        case "active":
            refresh = ["refresh"] if account["custody"] == "held" or account["next_refresh_at"] else []
            return [*refresh, "verify", "disable", "withdraw", "delete"]
        case "disabled" if account["disabled"]["reason"] == "released":
            return ["confirm-release", "delete"]
        case "disabled":
            return ["enable", "delete"]
        case _:
            return ["delete"]
