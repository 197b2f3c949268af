"""The provider's one client, as Authlib asks about it."""

import ipaddress
from urllib.parse import urlsplit

from tokenkeep.adapters.demo_provider.options import SCOPES, ProviderOptions
from tokenkeep.domain.secret import Secret

AUTH_METHODS = ("client_secret_basic", "client_secret_post")
"""How it may authenticate (RFC 6749, section 2.3.1)."""


class Client:
    """The one client. Its secret can be replaced at any time; the old one is refused from then on."""

    def __init__(self, options: ProviderOptions) -> None:
        self._id = options.client_id
        self._redirect_uris = options.redirect_uris
        self.secret = options.client_secret

    def get_client_id(self) -> str:
        """Its id."""
        return self._id

    def get_default_redirect_uri(self) -> str | None:
        """None: the request must say."""
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        """What is given for what is asked."""
        return " ".join(name for name in scope.split() if name in SCOPES) if scope else SCOPES[0]

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether codes may be sent there."""
        return redirect_uri in self._redirect_uris or _is_on_loopback(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether this is its present secret."""
        return Secret(client_secret) == self.secret

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Whether it may authenticate like this."""
        return method in AUTH_METHODS

    def check_response_type(self, response_type: str) -> bool:
        """Codes only."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Codes and refresh tokens."""
        return grant_type in {"authorization_code", "refresh_token"}


def _is_on_loopback(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        is_web = parts.scheme in {"http", "https"} and not parts.fragment
        return is_web and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
