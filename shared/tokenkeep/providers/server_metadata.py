"""An authorization server's own metadata (RFC 8414; OpenID Connect Discovery 1.0), turned into a source's options."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.field_kinds import Url
from tokenkeep.providers.options import DISCOVERY_URL

_FIELD = f"options.{DISCOVERY_URL}"
_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"

_ADDRESSES = {
    "authorization_endpoint": "authorization_url",
    "token_endpoint": "token_url",
    "revocation_endpoint": "revocation_url",
    "introspection_endpoint": "introspection_url",
    "userinfo_endpoint": "userinfo_url",
}
_NAMES_ISSUER = "authorization_response_iss_parameter_supported"
"""RFC 9207, section 3."""
# In the order in which we would rather use them. Whoever wants a key or a certificate used says so.
_WITH_SECRET = ("client_secret_basic", "client_secret_post", "client_secret_jwt")
_DEFAULT_METHODS = ["client_secret_basic"]
"""RFC 8414, section 2: what a server takes that does not say."""


def metadata_addresses(discovery_url: str) -> tuple[str, ...]:
    """Where the metadata may lie: at the address itself if it is one of metadata, else where its issuer would keep them."""
    parts = urlsplit(discovery_url)
    if "/.well-known/" in parts.path:
        return (discovery_url,)
    path = parts.path.rstrip("/")
    return (
        urlunsplit(parts._replace(path=path + _OPENID)),
        # RFC 8414, section 3.1, puts the well-known part before the issuer's path.
        urlunsplit(parts._replace(path=_OAUTH + path)),
    )


def read_metadata(address: str, document: bytes, *, has_secret: bool) -> Mapping[str, Any]:
    """The options that a server's metadata, found at `address`, speak of.

    Args:
        address: Where the document came from; the issuer that it names must be the one of this address.
        document: The document's bytes.
        has_secret: Whether the source has a client secret, by which the way of client authentication is chosen.

    Raises:
        InvalidInput: It is no metadata document, it is another issuer's, or an address in it is none.
    """
    told = _document(document)
    issuer = told.get("issuer")
    if not isinstance(issuer, str) or issuer.rstrip("/") not in _issuers(address):
        raise InvalidInput(_FIELD, "the metadata names another issuer than its address does (RFC 8414, section 3.3)")
    options: dict[str, Any] = {"issuer": issuer}
    if told.get(_NAMES_ISSUER) is True:
        options[_NAMES_ISSUER] = True
    for member, option in _ADDRESSES.items():
        if member in told:
            options[option] = _address(member, told[member])
    if "token_url" not in options:
        raise InvalidInput(_FIELD, "the metadata has no token_endpoint")
    if "userinfo_url" in options:
        options["external_id_path"] = "sub"
    options["token_endpoint_auth_method"] = _method(
        _texts(told, "token_endpoint_auth_methods_supported") or _DEFAULT_METHODS, has_secret=has_secret
    )
    challenges = _texts(told, "code_challenge_methods_supported")
    if challenges:
        options["pkce"] = "supported" if "S256" in challenges else "none"
    if "offline_access" in _texts(told, "scopes_supported"):
        options["offline_scopes"] = ["offline_access"]
    return options


def _document(document: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(document)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InvalidInput(_FIELD, "there is no metadata document at this address")
    return told


def _issuers(address: str) -> Iterator[str]:
    """The issuers whose metadata this address may hold, without a slash at the end."""
    parts = urlsplit(address)
    path = parts.path.rstrip("/")
    if path.endswith(_OPENID):
        yield urlunsplit(parts._replace(path=path.removesuffix(_OPENID), query=""))
    for well_known in (_OAUTH, _OPENID):
        if path.startswith(well_known):
            yield urlunsplit(parts._replace(path=path.removeprefix(well_known), query=""))
    if path.endswith(_OAUTH):
        yield urlunsplit(parts._replace(path=path.removesuffix(_OAUTH), query=""))


def _address(member: str, value: object) -> str:
    if not isinstance(value, str) or Url().complaint(value) is not None:
        raise InvalidInput(_FIELD, f"the metadata's {member} is not a URL")
    return value


def _texts(told: Mapping[str, Any], member: str) -> list[str]:
    value = told.get(member)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _method(supported: list[str], *, has_secret: bool) -> str:
    if has_secret:
        return next((method for method in _WITH_SECRET if method in supported), _WITH_SECRET[0])
    return "none"
