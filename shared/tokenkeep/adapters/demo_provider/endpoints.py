"""The provider's endpoints over HTTP: who asks what; Authlib knows the answer, the fault plan may spoil it."""

from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenkeep.adapters.demo_provider.authorization import Authorization
from tokenkeep.adapters.demo_provider.consent import consent_page
from tokenkeep.adapters.demo_provider.faults import Dropped, FaultPlan
from tokenkeep.adapters.demo_provider.grants import resource_protector
from tokenkeep.adapters.demo_provider.ledger import AccessToken, Ledger
from tokenkeep.adapters.demo_provider.oauth_request import HttpRequest
from tokenkeep.adapters.demo_provider.options import SCOPES
from tokenkeep.adapters.demo_provider.presentations import Outcome, PresentationJournal

_LONGEST_NAME = 100
_FORM = "application/x-www-form-urlencoded"

Pairs = list[tuple[str, str]]


class Tally(StrEnum):
    """What the endpoints count."""

    TOKEN_REQUEST = "token_request"  # noqa: S105  # no password
    RESOURCE_GRANTED = "resource_granted"
    RESOURCE_REFUSED = "resource_refused"


class Endpoints:
    """`/authorize`, `/token`, `/revoke`, `/api/me` and what the server says of itself."""

    def __init__(
        self, authorization: Authorization, ledger: Ledger, journal: PresentationJournal, faults: FaultPlan
    ) -> None:
        self._authorization = authorization
        self._protector = resource_protector(ledger)
        self._ledger = ledger
        self._journal = journal
        self._faults = faults
        self.tally: Counter[Tally] = Counter()

    def routes(self) -> list[Route]:
        """Where they are found."""
        return [
            Route("/.well-known/oauth-authorization-server", self._metadata, methods=["GET"]),
            Route("/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", self._revoke, methods=["POST"]),
            Route("/api/me", self._me, methods=["GET"]),
        ]

    async def _metadata(self, request: Request) -> Response:
        """RFC 8414, section 3.2."""
        issuer = str(request.base_url).rstrip("/")
        told = AuthorizationServerMetadata(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            revocation_endpoint=f"{issuer}/revoke",
            userinfo_endpoint=f"{issuer}/api/me",
            response_types_supported=["code"],
            grant_types_supported=["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
            code_challenge_methods_supported=["S256"],
            scopes_supported=list(SCOPES),
        )
        return JSONResponse(told)

    async def _authorize(self, request: Request) -> Response:
        """RFC 6749, section 3.1. `user` in the query fills in the page's form."""
        query = parse_qsl(request.url.query, keep_blank_values=True)
        asked = HttpRequest(request.method, request.headers, query=query, form=await _form(request))
        return await self._faults.through("/authorize", None, _later(self._authorization_answer, asked))

    def _authorization_answer(self, request: HttpRequest) -> Response:
        user = (request.form.get("user") or request.args.get("user") or "").strip()[:_LONGEST_NAME]
        try:
            grant = self._authorization.get_consent_grant(request, end_user=user)
        except OAuth2Error as error:
            return self._authorization.error_response(request, error)
        if request.method != "POST" or not user:
            return consent_page(client=grant.request.client.get_client_id(), scope=request.scope, user=user)
        allowed = user if request.form.get("decision") == "allow" else None
        return self._authorization.authorization_response(request, grant, allowed)

    async def _token(self, request: Request) -> Response:
        """RFC 6749, section 3.2."""
        self.tally[Tally.TOKEN_REQUEST] += 1
        form = await _form(request)
        given = dict(form)
        presented = given.get("refresh_token") if given.get("grant_type") == "refresh_token" else None
        user = self._ledger.user_of(code=given.get("code"), refresh_token=presented)
        if presented is None:
            asked = HttpRequest("POST", request.headers, form=form)
            return await self._faults.through("/token", user, _later(self._token_answer, asked))
        with self._journal.presentation(presented, user=user) as entry:
            asked = HttpRequest("POST", request.headers, form=form, presentation=entry)
            answer = await self._faults.through("/token", user, _later(self._token_answer, asked))
            entry.status = None if isinstance(answer, Dropped) else answer.status_code
        return answer

    def _token_answer(self, request: HttpRequest) -> Response:
        answer = self._authorization.token_response(request)
        if request.presentation is not None and request.presentation.outcome is None:
            request.presentation.outcome = Outcome.REQUEST_REFUSED
        return answer

    async def _revoke(self, request: Request) -> Response:
        """RFC 7009."""
        asked = HttpRequest("POST", request.headers, form=await _form(request))
        return await self._faults.through("/revoke", None, _later(self._authorization.revocation_response, asked))

    async def _me(self, request: Request) -> Response:
        """The resource: whom the token stands for."""
        asked = HttpRequest("GET", request.headers)
        return await self._faults.through("/api/me", None, _later(self._resource_answer, asked))

    def _resource_answer(self, request: HttpRequest) -> Response:
        try:
            token: AccessToken = self._protector.validate_request(None, request)
        except OAuth2Error as error:
            self.tally[Tally.RESOURCE_REFUSED] += 1
            return self._authorization.error_response(request, error)
        self.tally[Tally.RESOURCE_GRANTED] += 1
        me = {"sub": token.grant.user, "scope": token.scope}
        return JSONResponse(me, headers={"Cache-Control": "no-store"})


async def _form(request: Request) -> Pairs:
    """The pairs of a form; none if the body is something else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        return []
    return parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True)


def _later(answer: Callable[[HttpRequest], Response], request: HttpRequest) -> Callable[[], Awaitable[Response]]:
    async def process() -> Response:
        return answer(request)

    return process
