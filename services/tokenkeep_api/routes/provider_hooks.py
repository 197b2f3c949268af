"""`POST /v1/provider-hooks/{source_id}`: notices that providers send by themselves."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, assert_never

import orjson
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tokenkeep.application.take_provider_hook import Challenged, Refused, Taken
from tokenkeep.domain.errors import MalformedId
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.providers.hook_signatures import HookRequest
from tokenkeep_api.described_problems import also
from tokenkeep_api.problems import Problem
from tokenkeep_api.rendering import JSON_TYPE
from tokenkeep_api.request_bodies import SECURITY_EVENT
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

_BODY: dict[str, Any] = {
    "schema": {"type": ["object", "array"], "description": "What the provider sends, in its own form."}
}
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The provider's notice, or several of them; at most 1 MiB.",
        "content": {JSON_TYPE: _BODY, SECURITY_EVENT: {"schema": {"type": "string"}}},
    },
    "responses": {
        "200": {
            "description": "It is proven, and what it says has had its effect. Only a challenge is answered with a body."
        },
        "202": {"description": "The same, of a security event token (RFC 8935)."},
    },
}


def routes(wired: Wired) -> APIRouter:
    """The route of providers' notices."""
    router = APIRouter(tags=["provider hooks"], route_class=StrictRoute)
    public_url = wired.foundation.settings.external_url

    @router.post(
        "/v1/provider-hooks/{source_id}",
        response_model=None,
        openapi_extra=_DESCRIBED,
        responses=also(400, 408, 413, 415),
    )
    async def take_provider_hook(request: Request, source_id: str) -> Response:
        """Hear from a source's provider that its app was uninstalled, or a grant revoked. For providers: it takes no API key.

        The provider's own signature is the proof, by the source's client secret, its `hook_secret`, or keys that the provider
        publishes. Accounts that a notice means are disabled as `uninstalled` before the answer is given; what means nobody here,
        or says nothing of a grant, is answered in the same way. Whatever is not proven is a 401 that tells nothing else.
        """
        address = request.state.address
        try:
            body = await _body(request)
        except Problem:
            wired.limits.charge_unproven(address)
            raise
        # Nothing that is raised here is the caller's fault. A provider comes again for it, and is not to be held up then.
        reception = await wired.take_provider_hook(
            _parsed(source_id),
            HookRequest(request.method, f"{public_url}{request.url.path}", _headers(request), body),
            correlation_id=request.state.correlation_id,
            address=address,
        )
        match reception:
            case Refused():
                wired.limits.charge_unproven(address)
                detail = "this is signed by no provider of a source here"
                raise Problem(401, "not_authenticated", detail, headers={"WWW-Authenticate": "Signature"})
            case Challenged(answer=answer):
                return Response(orjson.dumps(dict(answer)), media_type=JSON_TYPE)
            case Taken(as_token=as_token):
                return Response(status_code=202 if as_token else 200)
            case _:
                assert_never(reception)

    return router


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "malformed_json", "the body was cut short") from None


def _headers(request: Request) -> Mapping[str, str]:
    """Those that came once: two readers could take different ones of two."""
    often = Counter(name for name, _ in request.scope["headers"])
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"] if often[name] == 1
    }


def _parsed(text: str) -> SourceId | None:
    try:
        return SourceId(parse_id(IdKind.SOURCE, text))
    except MalformedId:
        return None
