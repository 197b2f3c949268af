"""`/oauth1/v1` and `/oauth2/v1`: accounts authorised on pages of the caller's own, in the members that such callers send.

Requests and answers have their members at the top; what comes of them is an account like any other.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.create_account import GivenCredentials, NewAccount
from tokenkeep.application.obtain_credentials import Obtained, Purpose
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.events import rfc3339
from tokenkeep.domain.ids import IdKind, SourceId, format_id, parse_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import check_account_properties, missing_properties
from tokenkeep_api import rendering
from tokenkeep_api.audited_calls import ACTIONS
from tokenkeep_api.authentication import needs
from tokenkeep_api.authorization_answers import (
    OAuth1RedirectAnswer,
    OAuth1TokenAnswer,
    OAuth2TokenAnswer,
    RedirectAnswer,
)
from tokenkeep_api.authorization_bodies import (
    OAuth1AccessTokenBody,
    OAuth1AuthorizeBody,
    OAuth2AccessTokenBody,
    OAuth2AuthorizeBody,
)
from tokenkeep_api.creations import IDEMPOTENT, Spent
from tokenkeep_api.described_problems import also
from tokenkeep_api.problems import problem_of
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

SOURCE_HEADER = "X-Tokenkeep-Source"

Writer = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE)]
Taker = Annotated[Caller, needs(Scope.ACCOUNTS_WRITE, Scope.CREDENTIALS_READ)]
Named = Annotated[str, Header(alias=SOURCE_HEADER, description="The id of the source that the user authorises.")]

_FIELDS = {
    "source_id": SOURCE_HEADER,
    "credentials.authorization_code": "code",
    "credentials.oauth_verifier": "oauth_verifier",
    "credentials.oauth_token": "oauth_verifier",
}
"""What the use-cases name, in the terms of these bodies. Properties are `fields`; options are the source's."""


def routes(wired: Wired) -> APIRouter:
    """The four routes."""
    router = APIRouter(tags=["authorizations"], route_class=StrictRoute)
    _add_oauth1(router, wired)
    _add_oauth2(router, wired)
    return router


def _add_oauth1(router: APIRouter, wired: Wired) -> None:
    @router.post("/oauth1/v1/authorize", response_model=OAuth1RedirectAnswer, responses=also(404))
    async def oauth1_authorize(request: Request, body: OAuth1AuthorizeBody, caller: Writer, source: Named) -> Response:
        """Get temporary credentials of a provider of OAuth 1.0a, and the address to send the user to.

        `callback_uri` is given to the provider as it is, query and all. Keep `token` and `secret` for `/oauth1/v1/access_token`.
        """
        found = await _source(wired, request, caller, source, AuthType.OAUTH1)
        with _in_these_terms():
            url, temporary = await wired.start_authorization.oauth1(
                caller, found, callback_uri=body.callback_uri, properties=body.fields
            )
        shown = {"redirect_uri": url, "token": temporary.token.reveal(), "secret": temporary.secret.reveal()}
        return rendering.bare(shown)

    @router.post(
        "/oauth1/v1/access_token", response_model=OAuth1TokenAnswer, responses=also(404, 409), openapi_extra=IDEMPOTENT
    )
    async def oauth1_access_token(
        request: Request, body: OAuth1AccessTokenBody, caller: Taker, source: Named
    ) -> Response:
        """Exchange the verifier for a token, verify it, and take it into custody as a new account.

        The same verifier again, within a day, gives the same answer; the provider is not asked twice. 409 `account_exists` if
        the source has an account with the external id that the provider tells. `expires_on` is null where nothing ends.
        """
        found = await _source(wired, request, caller, source, AuthType.OAUTH1)
        verified = body.verified()
        spent = Spent.of(found.id, verified.temporary.token, verified.verifier)
        taking = _Taking(wired, request, caller, found, body.fields.properties)
        return await taking(verified, spent)


def _add_oauth2(router: APIRouter, wired: Wired) -> None:
    @router.post("/oauth2/v1/authorize", response_model=RedirectAnswer, responses=also(404))
    async def oauth2_authorize(request: Request, body: OAuth2AuthorizeBody, caller: Writer, source: Named) -> Response:
        """Get the address to send the user to, for the authorization code grant. Nothing is asked of the provider.

        `state` comes back with the user, as it is. PKCE takes part only where the provider requires it.
        """
        found = await _source(wired, request, caller, source, AuthType.OAUTH2)
        with _in_these_terms():
            url = await wired.start_authorization.oauth2(
                caller, found, callback_uri=body.callback_uri, state=body.state, properties=body.fields
            )
        return rendering.bare({"redirect_uri": url})

    @router.post(
        "/oauth2/v1/access_token", response_model=OAuth2TokenAnswer, responses=also(404, 409), openapi_extra=IDEMPOTENT
    )
    async def oauth2_access_token(
        request: Request, body: OAuth2AccessTokenBody, caller: Taker, source: Named
    ) -> Response:
        """Exchange the code for tokens, verify them, and take them into custody as a new account.

        The refresh token is not shown: from here on `POST /v1/accounts/{account_id}/token` gives a token that works. The same
        code again, within a day, gives the same answer; the provider is not asked twice, which could end the grant (RFC 6749,
        section 4.1.2). 409 `account_exists` if the source has an account with the external id that the provider tells.
        `expires_on` is null where the token does not end.
        """
        found = await _source(wired, request, caller, source, AuthType.OAUTH2)
        taking = _Taking(wired, request, caller, found, body.fields.properties)
        with _in_these_terms():
            code = await wired.start_authorization.code(found, body.code, body.fields.callback_uri)
        return await taking(code, Spent.of(found.id, body.code))


class _Taking:
    """One authorised grant on its way into custody."""

    def __init__(
        self, wired: Wired, request: Request, caller: Caller, source: Source, properties: Mapping[str, str]
    ) -> None:
        self._wired = wired
        self._request = request
        self._caller = caller
        self._source = source
        self._properties = properties

    async def __call__(self, given: GivenCredentials, spent: Spent) -> Response:
        """The token and the account. What can be refused is refused before anything is spent."""
        with _in_these_terms():
            self._check_properties()
            purpose = Purpose(self._source.id, self._caller.environment, self._properties)
            return await self._wired.creations.prepared(
                self._request,
                self._caller,
                lambda: self._obtained(given, purpose, spent),
                self._create,
                spent=spent,
                status=200,
                bare=True,
            )

    async def _obtained(self, given: GivenCredentials, purpose: Purpose, spent: Spent) -> Obtained:
        with _in_these_terms():  # what is kept of a refusal is kept in these
            return await self._wired.obtain_credentials(given, purpose, exchanged=spent.note_exchange)

    def _check_properties(self) -> None:
        provider = self._wired.foundation.catalogue.get(self._source.provider)
        check_account_properties(provider, self._properties)
        for name in missing_properties(provider, self._properties):
            raise InvalidInput(f"properties.{name}", "is required")

    async def _create(self, work: PostgresWork, obtained: Obtained) -> dict[str, Any]:
        caller, tokens = self._caller, obtained.tokens
        with _in_these_terms():
            account_id = await self._wired.create_account(
                work,
                caller,
                NewAccount(self._source.id, None, None, {}, self._properties),
                tokens=tokens,
                correlation_id=self._request.state.correlation_id,
                checked=obtained.checked,
            )
        view = await work.accounts.view(account_id, caller.environment)
        assert view is not None  # noqa: S101 - it has just been stored
        shown_id = format_id(IdKind.ACCOUNT, account_id)
        action = ACTIONS[self._request.method, self._request.scope["route"].path]
        await work.audit(AuditEntry(caller, action, shown_id))
        fields = tokens.fields if isinstance(tokens, StaticCredentials) else {"access_token": tokens.access_token}
        return {
            **_shown(fields),
            "expires_on": None if view.expires_at is None else rfc3339(view.expires_at),
            "account_id": shown_id,
        }


def _shown(fields: Mapping[str, Secret]) -> dict[str, str]:
    names = {"oauth_token": "access_token", "oauth_token_secret": "access_secret"}
    return {names.get(name, name): secret.reveal() for name, secret in fields.items()}


async def _source(wired: Wired, request: Request, caller: Caller, named: str, auth_type: AuthType) -> Source:
    if len(request.headers.getlist(SOURCE_HEADER)) > 1:
        raise InvalidInput(SOURCE_HEADER, "must come once")
    source_id = SourceId(parse_id(IdKind.SOURCE, named, field=SOURCE_HEADER))
    async with wired.works.reading() as work:
        source = await work.sources.get(source_id, caller.environment)
    if source is None:
        raise NotFound("source")
    if source.auth_type is not auth_type:
        raise InvalidInput(
            SOURCE_HEADER, f"names a source of {source.auth_type.value}, and this call is for {auth_type.value}"
        )
    return source


@contextmanager
def _in_these_terms() -> Iterator[None]:
    """Complaints name the fields of these bodies."""
    try:
        yield
    except InvalidInput as fault:
        problem = problem_of(fault)
        assert problem is not None  # noqa: S101 - what is wrong with an input is always told
        whose, _, name = fault.field.partition(".")
        if whose == "properties":
            problem.field = f"fields.{name}"
        elif whose == "options":
            problem.field = SOURCE_HEADER
        else:
            problem.field = _FIELDS.get(fault.field, problem.field)
        raise problem from None
