"""A provider of OAuth 1.0a on loopback: Authlib's server and its protector of resources, with a store and a consent page."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from authlib.oauth1.rfc5849.authorization_server import AuthorizationServer
from authlib.oauth1.rfc5849.errors import OAuth1Error
from authlib.oauth1.rfc5849.models import TemporaryCredential
from authlib.oauth1.rfc5849.resource_protector import ResourceProtector
from authlib.oauth1.rfc5849.signature import SIGNATURE_HMAC_SHA1, SIGNATURE_PLAINTEXT, SIGNATURE_RSA_SHA1
from authlib.oauth1.rfc5849.signature import generate_signature_base_string as base_string
from authlib.oauth1.rfc5849.util import escape
from authlib.oauth1.rfc5849.wrapper import OAuth1Request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tokenkeep.adapters.demo_provider.consent import consent_page
from tokenkeep_api.listening import Server, bind

CONSUMER, CONSUMER_SECRET = "consumer-key", "canary-consumer-secret"
HMAC_SHA256 = "HMAC-SHA256"
METHODS = [SIGNATURE_HMAC_SHA1, HMAC_SHA256, SIGNATURE_RSA_SHA1, SIGNATURE_PLAINTEXT]


def verify_hmac_sha256(request: Any) -> bool:
    """HMAC-SHA1 with the other digest, which Authlib lacks."""
    key = f"{escape(request.client_secret)}&{escape(request.token_secret or '')}"
    digest = hmac.digest(key.encode(), base_string(request).encode(), hashlib.sha256)
    return hmac.compare_digest(digest, base64.b64decode(request.signature))


@dataclass
class Store:
    """What the provider knows: its one consumer, temporary credentials, tokens by whose they are, and nonces."""

    rsa_public_key: str | None = None
    temporary: dict[str, TemporaryCredential] = field(default_factory=dict)
    tokens: dict[str, TemporaryCredential] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    withdrawn: bool = False

    def get_client_secret(self) -> str:
        return CONSUMER_SECRET

    def get_rsa_public_key(self) -> str | None:
        return self.rsa_public_key

    def get_default_redirect_uri(self) -> str:
        return "https://nowhere.example/"

    def takes(self, nonce: str) -> bool:
        known = nonce in self.nonces
        self.nonces.add(nonce)
        return known


class Authorization(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's server on the store."""

    SUPPORTED_SIGNATURE_METHODS = METHODS

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def get_client_by_id(self, client_id: str) -> Store | None:
        return self.store if client_id == CONSUMER and not self.store.withdrawn else None

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        return self.store.takes(nonce)

    def create_oauth1_request(self, request: Any) -> Any:
        return request

    def create_temporary_credential(self, request: Any) -> TemporaryCredential:
        made = TemporaryCredential(
            oauth_token=f"temp-{secrets.token_urlsafe(16)}",
            oauth_token_secret=f"canary-temp-{secrets.token_urlsafe(16)}",
            client_id=request.client_id,
            oauth_callback=request.redirect_uri,
        )
        self.store.temporary[made["oauth_token"]] = made
        return made

    def get_temporary_credential(self, request: Any) -> TemporaryCredential | None:
        return self.store.temporary.get(request.token)

    def delete_temporary_credential(self, request: Any) -> None:
        self.store.temporary.pop(request.token, None)

    def create_authorization_verifier(self, request: Any) -> str:
        verifier = f"canary-verifier-{secrets.token_urlsafe(8)}"
        request.credential.update(oauth_verifier=verifier, user_id=request.user)
        return verifier

    def create_token_credential(self, request: Any) -> TemporaryCredential:
        made = TemporaryCredential(
            oauth_token=f"token-{secrets.token_urlsafe(16)}",
            oauth_token_secret=f"canary-token-{secrets.token_urlsafe(16)}",
            user_id=request.credential.get_user_id(),
        )
        self.store.tokens[made["oauth_token"]] = made
        return made

    def handle_response(self, status: int, payload: Any, headers: Any) -> Response:
        content = payload if isinstance(payload, str) else urlencode(payload)
        return Response(content, status, dict(headers))


class Resource(ResourceProtector):  # type: ignore[misc]  # as above
    """Authlib's protector on the same store."""

    SUPPORTED_SIGNATURE_METHODS = METHODS

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def get_client_by_id(self, client_id: str) -> Store | None:
        return self.store if client_id == CONSUMER else None

    def get_token_credential(self, request: Any) -> TemporaryCredential | None:
        return self.store.tokens.get(request.token)

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        return self.store.takes(nonce)


Authorization.register_signature_method(HMAC_SHA256, verify_hmac_sha256)


@dataclass
class OAuth1Server:
    """The provider, as it listens. What is in the `script` is answered first; `asked` names the paths that were asked."""

    store: Store = field(default_factory=Store)
    script: deque[Response] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    denies_by: str = "error"
    url: str = ""

    def __post_init__(self) -> None:
        self._server = Authorization(self.store)
        self._resource = Resource(self.store)

    def options(self, **changes: str) -> dict[str, str]:
        """A source's options."""
        return {
            "request_token_url": f"{self.url}/initiate",
            "authorization_url": f"{self.url}/authorize",
            "access_token_url": f"{self.url}/token",
            **changes,
        }

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/initiate", self._initiate, methods=["POST"]),
                Route("/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/token", self._token, methods=["POST"]),
                Route("/me", self._me),
                Route("/done", lambda _: HTMLResponse("<h1>Back home</h1>")),
            ]
        )

    async def _initiate(self, request: Request) -> Response:
        self.asked.append("initiate")
        if self.script:
            return self.script.popleft()
        answer: Response = self._server.create_temporary_credentials_response(await _oauth1(request))
        return answer

    async def _token(self, request: Request) -> Response:
        self.asked.append("token")
        if self.script:
            return self.script.popleft()
        answer: Response = self._server.create_token_response(await _oauth1(request))
        return answer

    async def _authorize(self, request: Request) -> Response:
        asked = await _oauth1(request)
        try:
            self._server.validate_authorization_request(asked)
        except OAuth1Error as error:
            return _refusal(error)
        if request.method == "GET":
            return consent_page(client=CONSUMER, scope=request.query_params.get("scope", ""), user="alice")
        form = dict(parse_qsl((await request.body()).decode()))
        if form["decision"] == "allow":
            allowed: Response = self._server.create_authorization_response(asked, grant_user=form["user"])
            return allowed
        if self.denies_by == "error":
            denied: Response = self._server.create_authorization_response(asked)
            return denied
        told = {"denied": asked.token} if self.denies_by == "denied" else {"oauth_problem": "user_refused"}
        callback = asked.credential.get_redirect_uri()
        return RedirectResponse(f"{callback}&{urlencode(told)}", 302)

    async def _me(self, request: Request) -> Response:
        self.asked.append("me")
        headers = {"Authorization": request.headers.get("authorization", "")}
        try:
            seen = self._resource.validate_request(request.method, str(request.url), None, headers)
        except OAuth1Error as error:
            return _refusal(error)
        return JSONResponse({"sub": seen.credential.get_user_id()})


def _refusal(error: OAuth1Error) -> Response:
    return Response(urlencode(error.get_body()), error.status_code, dict(error.get_headers()))


async def _oauth1(request: Request) -> OAuth1Request:
    authorization = request.headers.get("authorization")
    headers = {} if authorization is None else {"Authorization": authorization}
    asked = OAuth1Request(request.method, str(request.url), None, headers)
    # Authlib decodes an oauth_ parameter twice where it checks signatures, which a callback with a percent sign does not survive.
    asked.params = [(name, escape(value) if name.startswith("oauth_") else value) for name, value in asked.params]
    return asked


@asynccontextmanager
async def open_oauth1_server(store: Store | None = None) -> AsyncIterator[OAuth1Server]:
    """The provider, listening."""
    provider = OAuth1Server(store or Store())
    with bind("127.0.0.1", 0) as listener:
        provider.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(provider.app())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield provider
        server.should_exit = True
        await serving
