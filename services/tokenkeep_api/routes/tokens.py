"""The hot routes: `POST /v1/accounts/{id}/token` and `GET /v1/accounts/{id}`.

Without FastAPI's machinery, and the first one without Starlette's either: it is called for every request that a customer's
service makes. `descriptions` tells the API's description what FastAPI can't see.
"""

from datetime import timedelta
from inspect import getdoc
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenkeep.application.vend_token import VendedToken, Wish
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.api_key import Scope as ApiScope
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, format_id, parse_id
from tokenkeep_api import rendering
from tokenkeep_api.answers import AccountWithCredentialsAnswer, Data, TokenAnswer
from tokenkeep_api.authentication import allowed, require
from tokenkeep_api.bodies import TokenWish
from tokenkeep_api.described_problems import also
from tokenkeep_api.named_route import NamedRoute
from tokenkeep_api.problems import invalid
from tokenkeep_api.request_bodies import read_document
from tokenkeep_api.strict_route import refuse_unknown
from tokenkeep_api.wired import Wired

TOKEN_PATH = "/v1/accounts/{account_id}/token"  # noqa: S105 - a path
ACCOUNT_PATH = "/v1/accounts/{account_id}"
_NONE: frozenset[str] = frozenset()
_INCLUDE = "include_credentials"
_DEFAULT = Wish()


class TokenEndpoint:
    """What requests to the provider need: a token that is valid for long enough, a key, a password.

    From store, or by one refresh that is waited for.
    """

    def __init__(self, wired: Wired) -> None:
        self._vended = Vended(wired)
        self._url = wired.foundation.settings.external_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application. Raises what it refuses."""
        state = scope["state"]
        caller = require(state["caller"], ApiScope.CREDENTIALS_READ)
        if scope["query_string"]:
            refuse_unknown(Request(scope), _NONE)
        account_id = _account_id(scope["path_params"]["account_id"])
        wish = _wish(await read_document(scope, receive))
        vended = await self._vended(caller, account_id, wish, "token.vend", state["correlation_id"])
        body = rendering.encoded(
            rendering.token(vended, f"{self._url}/v1/accounts/{format_id(IdKind.ACCOUNT, account_id)}")
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Vended:
    """Hands credentials out, and takes note of it."""

    def __init__(self, wired: Wired) -> None:
        self._vend = wired.vend
        self._reads = wired.reads

    async def __call__(
        self, caller: Caller, account_id: AccountId, wish: Wish, action: str, correlation_id: str
    ) -> VendedToken:
        """Raises as `VendToken` does. Reads in vain are noted by `Refusals`."""
        vended = await self._vend(account_id, wish, environment=caller.environment, correlation_id=correlation_id)
        # As it is written everywhere, whichever way the caller wrote it.
        self._reads.note(caller, action, format_id(IdKind.ACCOUNT, account_id))
        return vended


class TokenRoutes:
    """The endpoints, over the use-cases."""

    def __init__(self, wired: Wired) -> None:
        self._vended = Vended(wired)
        self._works = wired.works
        self._catalogue = wired.foundation.catalogue
        self.token = NamedRoute(TOKEN_PATH, TokenEndpoint(wired), methods=["POST"])

    def routes(self) -> list[Route]:
        """To be put before all others: they are matched in order."""
        return [self.token, NamedRoute(ACCOUNT_PATH, self.get_account, methods=["GET"])]

    async def get_account(self, request: Request) -> Response:
        """An account; with `include_credentials=1`, its credentials, never known-expired ones."""
        included = _includes_credentials(request)
        scopes = (ApiScope.ACCOUNTS_READ, ApiScope.CREDENTIALS_READ) if included else (ApiScope.ACCOUNTS_READ,)
        caller = allowed(request, *scopes)
        account_id = _account_id(request.path_params["account_id"])
        vended = None
        if included:
            correlation_id = request.state.correlation_id
            vended = await self._vended(caller, account_id, _DEFAULT, "credentials.read", correlation_id)
        async with self._works.reading() as work:
            view = await work.accounts.view(account_id, caller.environment)
        if view is None:
            raise NotFound("account")
        document = rendering.account(view, self._catalogue)
        if vended is not None:
            document["credentials"] = rendering.credentials(vended)
        return rendering.data(document)


def descriptions() -> list[tuple[str, str, ApiScope, dict[str, Any], type[Any]]]:
    """For each route its path, method, scope, OpenAPI operation, and the model of its answer."""
    account_id = {"name": "account_id", "in": "path", "required": True, "schema": {"type": "string"}}
    include = {
        "name": _INCLUDE,
        "in": "query",
        "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
        "description": f"`1` adds the credentials; takes the scope `{ApiScope.CREDENTIALS_READ}` too.",
    }
    wish = {"required": False, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TokenWish"}}}}
    token = {"operationId": "vend_token", "summary": "Vend Token", "parameters": [account_id], "requestBody": wish}
    account = {"operationId": "get_account", "summary": "Get Account", "parameters": [account_id, include]}
    return [
        (
            TOKEN_PATH,
            "post",
            ApiScope.CREDENTIALS_READ,
            {**token, "tags": ["accounts"], "responses": also(409), "description": getdoc(TokenEndpoint)},
            Data[TokenAnswer],
        ),
        (
            ACCOUNT_PATH,
            "get",
            ApiScope.ACCOUNTS_READ,
            {**account, "tags": ["accounts"], "responses": also(409), "description": getdoc(TokenRoutes.get_account)},
            Data[AccountWithCredentialsAnswer],
        ),
    ]


def _account_id(text: str) -> AccountId:
    return AccountId(parse_id(IdKind.ACCOUNT, text, field="account_id"))


def _wish(document: Any) -> Wish:
    if document is None or document == {}:
        return _DEFAULT
    try:
        wanted = TokenWish.model_validate(document)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)) from None
    return Wish(timedelta(seconds=wanted.min_ttl), timedelta(seconds=wanted.wait), wanted.force)


def _includes_credentials(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    given = request.query_params.multi_items()
    for name, value in given:
        if name != _INCLUDE or value not in {"0", "1"} or len(given) > 1:
            raise InvalidInput(_INCLUDE, "is the only parameter, and is 0 or 1")
    return given == [(_INCLUDE, "1")]
