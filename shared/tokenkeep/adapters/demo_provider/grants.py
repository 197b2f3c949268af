"""Authlib's grants and endpoints, made to work on the ledger.

Authlib decides what a request means and how it is answered, errors included; the classes here fill the places that it
leaves open. It has no types, hence the ignored complaints about deriving from them.
"""

from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationCodeGrant, InvalidRequestError, RefreshTokenGrant, ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from tokenkeep.adapters.demo_provider.client import AUTH_METHODS, Client
from tokenkeep.adapters.demo_provider.ledger import AccessToken, Code, Ledger, RefreshToken, RevokedBecause
from tokenkeep.adapters.demo_provider.oauth_request import HttpRequest


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """RFC 6749, section 4.1."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code: str, request: HttpRequest) -> None:
        """Keep a code that is about to be sent."""
        parameters = request.payload.data
        self.server.ledger.add_code(
            code,
            client_id=request.client.get_client_id(),
            redirect_uri=parameters["redirect_uri"],
            scope=request.scope,
            user=request.user,
            pkce=parameters,
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """The code, if it can be redeemed."""
        found: Code | None = self.server.ledger.redeemable_code(code, client_id=client.get_client_id())
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Nothing: it was marked as redeemed when its grant was opened, and is kept to notice a second time."""

    def authenticate_user(self, authorization_code: Code) -> str:
        """Whose code it is."""
        return authorization_code.user


class RotatingRefresh(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """RFC 6749, section 6, with rotation and reuse detection as RFC 9700, section 4.14.2, describes them."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # noqa: N802  # Authlib reads it by this name
        """Whether the answer has a new refresh token."""
        rotates: bool = self.server.options.rotates
        return rotates

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        """The token, if it is good."""
        token: RefreshToken | None
        token, outcome = self.server.ledger.present(refresh_token, client_id=self.request.client.get_client_id())
        if token is None and self.request.presentation is not None:
            self.request.presentation.outcome = outcome
        self._outcome = outcome
        return token

    def authenticate_user(self, refresh_token: RefreshToken) -> str:
        """Whose token it is."""
        return refresh_token.grant.user

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """The new tokens are kept, so the old one is used up."""
        self.server.ledger.settle(refresh_token)
        if self.request.presentation is not None:
            self.request.presentation.outcome = self._outcome


class S256Challenge(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """RFC 7636 with S256 alone. A missing method would mean `plain`, so it has to be there."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Check the parameters of an authorization request.

        Raises:
            InvalidRequestError: One is missing or wrong.
        """
        parameters = grant.request.payload.data
        if "code_challenge_method" not in parameters and (self.required or "code_challenge" in parameters):
            msg = "PKCE is required with 'code_challenge_method=S256'"
            raise InvalidRequestError(msg)
        super().validate_code_challenge(grant, redirect_uri)


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """RFC 7009. A refresh token takes its whole grant along, an access token goes alone."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, _token_type_hint: str | None) -> AccessToken | RefreshToken | None:
        """The token, of whichever kind: a wrong hint does not hide it."""
        ledger: Ledger = self.server.ledger
        return ledger.refresh_tokens.get(token_string) or ledger.access_tokens.get(token_string)

    def revoke_token(self, token: AccessToken | RefreshToken, _request: HttpRequest) -> None:
        """End it."""
        if isinstance(token, AccessToken):
            token.revoked = True
        else:
            self.server.ledger.revoke(token.grant, RevokedBecause.CLIENT)


class BearerTokens(BearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
    """RFC 6750: who comes with a live access token is let in."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(realm="demo")
        self._ledger = ledger

    def authenticate_token(self, token_string: str) -> AccessToken | None:
        """The token, dead or alive."""
        return self._ledger.access_tokens.get(token_string)


def resource_protector(ledger: Ledger) -> Any:
    """Authlib's guard before the resource."""
    protector = ResourceProtector()
    protector.register_token_validator(BearerTokens(ledger))
    return protector
