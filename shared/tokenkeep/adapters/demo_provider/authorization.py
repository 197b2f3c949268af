"""Authlib's authorization server on the ledger, with Starlette's responses."""

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from starlette.responses import Response

from tokenkeep.adapters.demo_provider.client import Client
from tokenkeep.adapters.demo_provider.grants import CodeGrant, Revocation, RotatingRefresh, S256Challenge
from tokenkeep.adapters.demo_provider.ledger import Ledger, RefreshToken
from tokenkeep.adapters.demo_provider.oauth_request import HttpRequest
from tokenkeep.adapters.demo_provider.options import SCOPES, ProviderOptions

_TOKEN_BYTES = 32


class Authorization(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """The server: its endpoints answer with Starlette responses."""

    def __init__(self, options: ProviderOptions, ledger: Ledger) -> None:
        super().__init__(scopes_supported=SCOPES)
        # At DEBUG they write whole tokens, into the log of whatever process the provider lives in.
        logging.getLogger("authlib.oauth2.rfc6749.grants").setLevel(logging.INFO)
        self.options = options
        self.ledger = ledger
        self.client = Client(options)
        self.register_token_generator(
            "default",
            BearerTokenGenerator(_random_token, _random_token, lambda _client, _grant_type: options.token_lifetime_s),
        )
        self.register_grant(CodeGrant, [S256Challenge(required=options.requires_pkce)])
        self.register_grant(RotatingRefresh)
        self.register_endpoint(Revocation)

    def query_client(self, client_id: str) -> Client | None:
        """The client of this id."""
        return self.client if client_id == self.client.get_client_id() else None

    def save_token(self, token: Mapping[str, Any], request: HttpRequest) -> None:
        """Keep what the client is about to get."""
        refreshed: RefreshToken | None = request.refresh_token
        grant = self.ledger.open_grant(request.authorization_code) if refreshed is None else refreshed.grant
        self.ledger.keep_tokens(token, grant)

    def authorization_response(self, request: HttpRequest, grant: CodeGrant, user: str | None) -> Response:
        """The redirect that ends an authorization request. `user` is None if they refused."""
        return _checked(self.create_authorization_response(request, grant_user=user, grant=grant))

    def token_response(self, request: HttpRequest) -> Response:
        """The answer of the token endpoint."""
        return _checked(self.create_token_response(request))

    def revocation_response(self, request: HttpRequest) -> Response:
        """The answer of the revocation endpoint."""
        return _checked(self.create_endpoint_response(Revocation.ENDPOINT_NAME, request))

    def error_response(self, request: HttpRequest, error: OAuth2Error) -> Response:
        """The answer that tells an error."""
        return _checked(self.handle_error_response(request, error))

    def create_oauth2_request(self, request: HttpRequest) -> HttpRequest:
        """It is one already."""
        return request

    def handle_response(self, status: int, body: object, headers: Sequence[tuple[str, str]]) -> Response:
        """An answer as Starlette sends it."""
        content = body if isinstance(body, str) else json.dumps(body)
        return Response(content, status, dict(headers))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""


def _checked(answer: object) -> Response:
    if not isinstance(answer, Response):
        msg = f"an answer was expected, not {type(answer).__name__}"
        raise TypeError(msg)
    return answer


def _random_token(**_: object) -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)
