"""Forms of accounts: one for a new account of any kind, made of what its source says it needs, and one for changes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from tokenkeep_api.console.fields import (
    Field,
    Kind,
    beside_lines,
    filled,
    fingerprint,
    lines_of,
    of_schema,
    pairs_in,
    place_of,
    read,
)
from tokenkeep_api.console.listing import all_sources
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Visit

_OTHERS: Final = "others"
_METADATA: Final = Field(
    "metadata", "Metadata", Kind.PAIRS, help="Your own labels, one a line, as name=value. You can search by them."
)
_VERIFY: Final = Field(
    "verify",
    "Ask the provider about them first",
    Kind.CHOICE,
    required=True,
    choices=(("true", "yes"), ("false", "no")),
    value="true",
)
_MASKED_PAIRS: Final = Field(
    _OTHERS,
    "Further fields",
    Kind.SECRET,
    long=True,
    help="What the provider needs besides; one a line, as name=value.",
)


class AccountForms:
    """The endpoints."""

    async def ask_new(self, visit: Visit) -> Response:
        """The form; before it, the choice of the source."""
        source_id = visit.request.query_params.get("source_id", "")
        if not source_id:
            return visit.show("new-account-source.html", title="New account", sources=await all_sources(visit))
        source = (await visit.read(f"/v1/sources/{source_id}"))["data"]
        kind = visit.request.query_params.get("kind", "0")
        return self._form(visit, source, kind, _new_fields(source, kind))

    async def create(self, visit: Visit) -> Response:
        """The form was sent."""
        source = (await visit.read(f"/v1/sources/{visit.form.get('source_id', '')}"))["data"]
        kind = visit.form.get("kind", "0")
        if kind == "link":
            return await self._link(visit, source)
        fields = _new_fields(source, kind)
        body = read(fields, visit.form)
        verify, credentials = str(body.pop("verify", "true")), credentials_in(body)
        body = {"source_id": source["id"], **body, **({"credentials": credentials} if credentials else {})}
        try:
            made = await visit.send("POST", "/v1/accounts", body, {"verify": verify})
        except Refused as refused:
            return self._form(visit, source, kind, fields, refused)
        return visit.onward(f"/accounts/{made['data']['id']}", "created")

    async def ask_change(self, visit: Visit) -> Response:
        """What there is to change."""
        account = await self._account(visit)
        return self._change_form(visit, account, _change_fields(account), None)

    async def change(self, visit: Visit) -> Response:
        """The form was sent: names that are gone are taken away, and what no line can tell stays."""
        account = await self._account(visit)
        fields = _change_fields(account)
        overtaken = visit.overtaken(fields)
        if overtaken is not None:
            return self._change_form(visit, account, fields, overtaken)
        body = {
            field.name: {**dict.fromkeys(pairs_in(field.value)), **pairs_in(visit.form.get(field.name, ""))}
            for field in fields
        }
        try:
            await visit.send("PATCH", f"/v1/accounts/{account['id']}", body)
        except Refused as refused:
            shown = filled(fields, visit.form, wrong=refused.field, says=sentence(refused))
            return self._change_form(visit, account, shown, refused)
        return visit.onward(f"/accounts/{account['id']}", "saved")

    def _change_form(
        self, visit: Visit, account: Mapping[str, Any], fields: Sequence[Field], refused: Refused | None
    ) -> Response:
        return visit.show(
            "edit-account.html",
            200 if refused is None else refused.status,
            title="Edit",
            account=account,
            fields=fields,
            seen=fingerprint(_change_fields(account)),
            beside=[name for part in ("metadata", "properties") for name in beside_lines(account[part])],
            problem=None if refused is None or place_of(fields, refused.field) else refused,
        )

    async def _account(self, visit: Visit) -> Mapping[str, Any]:
        account: Mapping[str, Any] = (await visit.read(f"/v1/accounts/{visit.request.path_params['id']}"))["data"]
        return account

    async def _link(self, visit: Visit, source: Mapping[str, Any]) -> Response:
        """A link by which an end user makes the account."""
        body = {"source_id": source["id"], **read([_external_id(), _METADATA], visit.form)}
        made = (await visit.send("POST", "/v1/connect/sessions", body))["data"]
        return visit.show("link.html", title="Connect link", link=made, back=f"/sources/{source['id']}")

    def _form(
        self,
        visit: Visit,
        source: Mapping[str, Any],
        kind: str,
        fields: Sequence[Field],
        refused: Refused | None = None,
    ) -> Response:
        shown: Sequence[Field] = fields
        if refused is not None:
            shown = filled(fields, visit.form, wrong=refused.field, says=sentence(refused))
        return visit.show(
            "new-account.html",
            200 if refused is None else refused.status,
            title="New account",
            source=source,
            kind=kind,
            kinds=[it.get("title", "Credentials") for it in variants(source)],
            fields=shown,
            problem=None if refused is None or place_of(shown, refused.field) else refused,
            existing=None if refused is None else refused.members.get("account_id"),
        )


def _new_fields(source: Mapping[str, Any], kind: str) -> Sequence[Field]:
    if kind == "link":
        return [_external_id(), _METADATA]
    *credentials, verify = credential_fields(source, kind)
    properties = of_schema((source["account_schema"] or {}).get("properties", {}), "properties")
    return [*credentials, *properties, _external_id(), _METADATA, verify]


def credential_fields(source: Mapping[str, Any], kind: str) -> Sequence[Field]:
    """Fields for credentials of this shape, by its number, and whether they are verified; the last one says that."""
    shapes = variants(source)
    chosen = next((it for number, it in enumerate(shapes) if str(number) == kind), shapes[0])
    credentials = of_schema(chosen, "credentials")
    if isinstance(chosen.get("additionalProperties"), dict):
        credentials.append(_MASKED_PAIRS)
    return [*credentials, _VERIFY]


def credentials_in(body: dict[str, Any]) -> dict[str, Any]:
    """The credentials that were filled in, taken out of what was."""
    return {**body.pop("credentials", {}), **pairs_in(body.pop(_OTHERS, ""))}


def variants(source: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The shapes that the source's credentials may have."""
    schema = (source["account_schema"] or {"credentials": {}})["credentials"]
    shapes: Sequence[Mapping[str, Any]] = schema.get("oneOf") or schema.get("anyOf") or [schema]
    return shapes


def _external_id() -> Field:
    return Field("external_id", "External id", help="Who it is at the provider, if the provider itself does not tell.")


def _change_fields(account: Mapping[str, Any]) -> Sequence[Field]:
    properties = Field(
        "properties", "Properties", Kind.PAIRS, help="What the provider's addresses need, one a line, as name=value."
    )
    return [replace(field, value=lines_of(account[field.name])) for field in (_METADATA, properties)]


def sentence(refused: Refused) -> str:
    """What the API says, as a sentence."""
    return f"{refused.detail[:1].upper()}{refused.detail[1:]}."
