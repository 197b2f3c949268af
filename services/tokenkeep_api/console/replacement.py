"""Other credentials for an account that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from tokenkeep_api.console.account_forms import credential_fields, credentials_in, sentence, variants
from tokenkeep_api.console.fields import Field, filled, place_of, read
from tokenkeep_api.console.own_api import Refused
from tokenkeep_api.console.visits import Visit


async def ask_replacement(visit: Visit) -> Response:
    """The form, made of what the account's source says it needs."""
    wanted = await _wanted(visit, visit.request.query_params.get("kind", "0"))
    return wanted.form(visit, wanted.fields)


async def replace_credentials(visit: Visit) -> Response:
    """The form was sent: these authorise the account from now on."""
    wanted = await _wanted(visit, visit.form.get("kind", "0"))
    body = read(wanted.fields, visit.form)
    path, verify = f"/v1/accounts/{wanted.account['id']}", str(body.pop("verify", "true"))
    try:
        await visit.send("PUT", f"{path}/credentials", credentials_in(body), {"verify": verify})
    except Refused as refused:
        return wanted.refused(visit, refused)
    return visit.onward(f"/accounts/{wanted.account['id']}", "replaced")


@dataclass(frozen=True, slots=True)
class _Wanted:
    account: Mapping[str, Any]
    source: Mapping[str, Any]
    kind: str

    @property
    def fields(self) -> Sequence[Field]:
        return credential_fields(self.source, self.kind)

    def refused(self, visit: Visit, refused: Refused) -> Response:
        # Here the body is the credentials themselves, so the API names their members without the name of the whole.
        wrong = None if refused.field is None else f"credentials.{refused.field}"
        shown = filled(self.fields, visit.form, wrong=wrong, says=sentence(refused))
        return self.form(visit, shown, None if place_of(shown, wrong) else refused, refused.status)

    def form(
        self, visit: Visit, fields: Sequence[Field], problem: Refused | None = None, status: int = 200
    ) -> Response:
        return visit.show(
            "replace-credentials.html",
            status,
            title="Replace the credentials",
            account=self.account,
            kind=self.kind,
            kinds=[it.get("title", "Credentials") for it in variants(self.source)],
            fields=fields,
            problem=problem,
        )


async def _wanted(visit: Visit, kind: str) -> _Wanted:
    account = (await visit.read(f"/v1/accounts/{visit.request.path_params['id']}"))["data"]
    source = (await visit.read(f"/v1/sources/{account['source_id']}"))["data"]
    return _Wanted(account, source, kind)
