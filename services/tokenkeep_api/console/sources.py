"""Sources: listed, looked at, created from the catalogue, changed, paused, resumed, deleted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from tokenkeep.application.environment_figures import SourceTries
from tokenkeep.domain.api_key import Scope
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.domain.source import MASS_REVOCATION, ROLLBACK
from tokenkeep_api.console.acting import Acting
from tokenkeep_api.console.acts import SOURCE_ACTS
from tokenkeep_api.console.fields import (
    Field,
    Kind,
    beside_lines,
    filled,
    fingerprint,
    of_schema,
    place_of,
    read,
    touched,
)
from tokenkeep_api.console.figures import NotCounted
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Door, Visit
from tokenkeep_api.named_route import NamedRoute

Tries = Callable[[SourceId], Awaitable[SourceTries]]

_PAGE: Final = 100
_WITH_CLIENT: Final = frozenset({"oauth2", "oauth1"})
_SECRETS: Final = ("client_secret", "hook_secret", "refresh_callout_secret")
_NAME: Final = Field("name", "Name", required=True, help="What end users read on connect pages: your product's name.")
_CLIENT_ID: Final = Field("client_id", "Client id", help="From the app that you registered with the provider.")
_CLIENT_SECRET: Final = Field(
    "client_secret",
    "Client secret",
    Kind.SECRET,
    long=True,
    help="A secret, or a private key in PEM. It is never shown again.",
)
_SCOPES: Final = Field("scopes", "Scopes", Kind.LINES, help="One a line.")
_HOOK: Final = Field(
    "hook_secret",
    "Secret of the provider's notices",
    Kind.SECRET,
    help="Where the provider signs them with one of its own.",
)
_CALLOUT: Final = Field(
    "refresh_callout_secret",
    "Secret of the refresh callout",
    Kind.SECRET,
    help="Goes with the option refresh_callout_url; begins with whsec_.",
)


class Sources:
    """The endpoints."""

    def __init__(self, door: Door, tries: Tries) -> None:
        self._door = door
        self._tries = tries
        self._acting = Acting(SOURCE_ACTS, "/sources", "/v1/sources", _name_of)

    def routes(self) -> list[Route]:
        """In the order in which they must be matched."""
        look, change = self._door.look, self._door.change
        return [
            NamedRoute("/console/sources", look(self.list), methods=["GET"]),
            NamedRoute("/console/sources/new", look(self.ask_new), methods=["GET"]),
            NamedRoute("/console/sources/new", change(self.create), methods=["POST"]),
            NamedRoute("/console/sources/{id}", look(self.show), methods=["GET"]),
            NamedRoute("/console/sources/{id}/edit", look(self.ask_change), methods=["GET"]),
            NamedRoute("/console/sources/{id}/edit", change(self.change), methods=["POST"]),
            NamedRoute("/console/sources/{id}/secret", look(self.ask_secret), methods=["GET"]),
            NamedRoute("/console/sources/{id}/secret", change(self.rotate), methods=["POST"]),
            *self._acting.routes(self._door),
        ]

    async def list(self, visit: Visit) -> Response:
        """All of them, in pages."""
        found = await visit.read("/v1/sources", {"limit": _PAGE, "cursor": visit.request.query_params.get("cursor")})
        return visit.show("sources.html", title="Sources", sources=found["data"], cursor=found["next_cursor"])

    async def show(self, visit: Visit) -> Response:
        """One of them, and how its latest tries ended."""
        source = await _source(visit)
        try:
            tries = await self._tries(SourceId(parse_id(IdKind.SOURCE, source["id"])))
        except NotCounted:
            tries = None
        in_use = await _has_accounts(visit, source)
        return visit.show(
            "source.html",
            title=source["name"],
            source=source,
            acts=self._acting.offered(visit, *_possible(source, in_use=in_use)),
            deciding=source["paused_reason"] == MASS_REVOCATION and visit.may(Scope.SOURCES_WRITE),
            may_write=visit.may(Scope.SOURCES_WRITE),
            in_use=in_use,
            tries=tries,
            has_client=source["auth_type"] in _WITH_CLIENT,
        )

    async def ask_new(self, visit: Visit) -> Response:
        """The form, made of the provider's schema; before it, the choice of the provider."""
        slug = visit.request.query_params.get("provider", "")
        if not slug:
            found = (await visit.read("/v1/providers"))["data"]
            sought = visit.request.query_params.get("q", "").strip().lower()
            fitting = [it for it in found if sought in f"{it['slug']} {it['name']}".lower()]
            return visit.show("new-source-provider.html", title="New source", providers=fitting, sought=sought)
        return await self._form(visit, (await visit.read(f"/v1/providers/{slug}"))["data"])

    async def create(self, visit: Visit) -> Response:
        """The form was sent."""
        provider = (await visit.read(f"/v1/providers/{visit.form.get('provider', '')}"))["data"]
        body = read(_new_fields(provider), visit.form)
        try:
            made = await visit.send("POST", "/v1/sources", {"provider": provider["slug"], **body})
        except Refused as refused:
            return await self._form(visit, provider, refused)
        return visit.onward(f"/sources/{made['data']['id']}", "created")

    async def ask_change(self, visit: Visit) -> Response:
        """What there is to change."""
        source = await _source(visit)
        fields = await _change_fields(visit, source)
        return self._change_form(visit, source, fields, fingerprint(fields), None)

    async def change(self, visit: Visit) -> Response:
        """The form was sent. Options are replaced as a whole; secrets have a form of their own."""
        source = await _source(visit)
        fields = await _change_fields(visit, source)
        seen, overtaken = fingerprint(fields), visit.overtaken(fields)
        if overtaken is not None:
            return self._change_form(visit, source, fields, seen, overtaken)
        given = read(fields, visit.form)
        options = _options(fields, visit.form, source["options"])
        body = {"name": given.get("name", ""), "scopes": given.get("scopes", []), "options": options}
        if "client_id" in given and given["client_id"] != source["client_id"]:
            body["client_id"] = given["client_id"]
        try:
            await visit.send("PATCH", f"/v1/sources/{source['id']}", body)
        except Refused as refused:
            shown = filled(fields, visit.form, wrong=refused.field, says=_sentence(refused))
            return self._change_form(visit, source, shown, seen, refused)
        return visit.onward(f"/sources/{source['id']}", "saved")

    async def ask_secret(self, visit: Visit) -> Response:
        """Which secret is to be replaced."""
        source = await _source(visit)
        return visit.show(
            "source-secret.html", title="Secrets", source=source, fields=_secret_fields(source), problem=None
        )

    async def rotate(self, visit: Visit) -> Response:
        """New secrets; those that were left empty stay."""
        source = await _source(visit)
        fields = _secret_fields(source)
        try:
            await visit.send("PATCH", f"/v1/sources/{source['id']}", read(fields, visit.form))
        except Refused as refused:
            shown = filled(fields, visit.form, wrong=refused.field, says=_sentence(refused))
            problem = None if place_of(shown, refused.field) else refused
            return visit.show(
                "source-secret.html", refused.status, title="Secrets", source=source, fields=shown, problem=problem
            )
        return visit.onward(f"/sources/{source['id']}", "saved")

    def _change_form(
        self, visit: Visit, source: Mapping[str, Any], fields: Sequence[Field], seen: str, refused: Refused | None
    ) -> Response:
        return visit.show(
            "edit-source.html",
            200 if refused is None else refused.status,
            title="Edit",
            source=source,
            fields=fields,
            seen=seen,
            problem=None if refused is None or place_of(fields, refused.field) else refused,
        )

    async def _form(self, visit: Visit, provider: Mapping[str, Any], refused: Refused | None = None) -> Response:
        fields: Sequence[Field] = _new_fields(provider)
        if refused is not None:
            fields = filled(fields, visit.form, wrong=refused.field, says=_sentence(refused))
        required, further = _parted(fields)
        return visit.show(
            "new-source.html",
            200 if refused is None else refused.status,
            title="New source",
            provider=provider,
            fields=required,
            further=further,
            open=any(it.complaint for it in further),
            problem=None if refused is None or place_of(fields, refused.field) else refused,
        )


async def _name_of(visit: Visit, source_id: str) -> str:
    return str((await visit.read(f"/v1/sources/{source_id}"))["data"]["name"])


async def _source(visit: Visit) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await visit.read(f"/v1/sources/{visit.request.path_params['id']}"))["data"]
    return found


async def _has_accounts(visit: Visit, source: Mapping[str, Any]) -> bool:
    """Whether it is seen to have any, which keep it from being deleted; the API says the same to whoever may not see them."""
    if not visit.may(Scope.SOURCES_WRITE, Scope.ACCOUNTS_READ):
        return False
    return bool((await visit.read("/v1/accounts", {"source_id": source["id"], "limit": 1}))["data"])


def _possible(source: Mapping[str, Any], *, in_use: bool) -> Sequence[str]:
    """What makes sense for a source that stands like this; the API has the last word."""
    if source["paused_reason"] == MASS_REVOCATION:
        return ["disbelieve", "believe"]
    go_on = "resume-older" if source["paused_reason"] == ROLLBACK else "resume"
    return ["pause" if source["state"] != "paused" else go_on, *([] if in_use else ["delete"])]


def _new_fields(provider: Mapping[str, Any]) -> Sequence[Field]:
    with_client = provider["auth_type"] in _WITH_CLIENT
    client = [replace(_CLIENT_ID, required=with_client), _CLIENT_SECRET, _SCOPES] if with_client else []
    hooks = [_HOOK] if provider["capabilities"]["hooks"] else []
    callout = [_CALLOUT] if provider["auth_type"] == "oauth2" else []
    return [_NAME, *client, *of_schema(provider["options_schema"], "options"), *hooks, *callout]


def _parted(fields: Sequence[Field]) -> tuple[Sequence[Field], Sequence[Field]]:
    """What nearly everybody fills in, and what few need."""
    plain = {"name", "client_id", "client_secret", "scopes"}
    first = [it for it in fields if it.name in plain or it.required]
    return first, [it for it in fields if it not in first]


async def _change_fields(visit: Visit, source: Mapping[str, Any]) -> Sequence[Field]:
    provider = (await visit.read(f"/v1/providers/{source['provider']}"))["data"]
    given = {
        "name": source["name"],
        "client_id": source["client_id"] or "",
        "scopes": "\n".join(source["scopes"]),
    }
    with_client = source["auth_type"] in _WITH_CLIENT
    client = [replace(_CLIENT_ID, required=source["client_id"] is not None), _SCOPES] if with_client else []
    plain = [replace(it, value=given[it.name]) for it in (_NAME, *client)]
    return [*plain, *of_schema(provider["options_schema"], "options", source["options"])]


def _options(fields: Sequence[Field], form: Mapping[str, str], former: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the form wants them: those of fields that nobody touched are the former ones, to the letter.

    An empty or blank option is the source's own word against the catalogue's, and its field looks as if there were none.
    """
    changed = touched(fields, form)
    left = {it.name for it in fields} - {it.name for it in changed}
    kept = {name: value for name, value in former.items() if f"options.{name}" in left}
    return {**_with_what_no_line_tells(read(changed, form).get("options", {}), former), **kept}


def _with_what_no_line_tells(options: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    beside = {name: beside_lines(value) for name, value in former.items() if isinstance(value, dict)}
    kept = {name: {**options.get(name, {}), **pairs} for name, pairs in beside.items() if pairs}
    return {**options, **kept}


def _secret_fields(source: Mapping[str, Any]) -> Sequence[Field]:
    wanted = _SECRETS if source["auth_type"] in _WITH_CLIENT else ("hook_secret",)
    return [it for it in (_CLIENT_SECRET, _HOOK, _CALLOUT) if it.name in wanted]


def _sentence(refused: Refused) -> str:
    return f"{refused.detail[:1].upper()}{refused.detail[1:]}."
