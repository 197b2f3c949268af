"""The settings of providers by the names that data files and sources' options share, and what each accepts."""

from collections.abc import Mapping

from tokenkeep.providers.client_assertion import SIGNING_ALGORITHMS
from tokenkeep.providers.field_kinds import Choice, Field, Flag, Listed, Pairs, Params, Text, Url, Whole
from tokenkeep.providers.request_shape import header_complaint, param_name_complaint
from tokenkeep.providers.revocation_way import AUTH_PATTERN, RevocationFormat, RevocationMethod, TokenKind
from tokenkeep.providers.rules import ClientAuth

_DAY = 86_400
_TEN_YEARS = 3_650 * _DAY
_MOST_PER_MIN = 6_000_000
_MOST_AT_ONCE = 100_000

PROVIDER_LIMITS: Mapping[str, Field] = {
    "provider_rate_per_min": Whole(1, _MOST_PER_MIN),
    "provider_burst": Whole(1, _MOST_AT_ONCE),
    "provider_concurrency": Whole(1, _MOST_AT_ONCE),
}
"""What a data file alone may say: no source speaks for the others."""

_TOKEN_PATH = Text(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*", "a path such as data.access_token")

CLIENT_AUTH = Choice(tuple(method.value for method in ClientAuth))
"""How a client proves itself (RFC 7591, section 2; RFC 8705, section 2)."""

_OWN_REVOCATION: Mapping[str, Field] = {
    "revocation_method": Choice(tuple(RevocationMethod)),
    "revocation_format": Choice(tuple(RevocationFormat)),
    "revocation_auth": Text(
        AUTH_PATTERN,
        "client, client_secret_basic, client_secret_post, bearer, none or a text such as header x-token: {access_token}",
    ),
    "revocation_params": Params(),
}

OAUTH2_FIELDS: Mapping[str, Field] = {
    "issuer": Url(),
    "authorization_response_iss_parameter_supported": Flag(),
    "authorization_url": Url(),
    "token_url": Url(),
    "refresh_url": Url(),
    "revocation_url": Url(),
    "revocation_token": Choice(tuple(TokenKind)),
    **_OWN_REVOCATION,
    "introspection_url": Url(),
    "userinfo_url": Url(),
    "token_endpoint_auth_method": CLIENT_AUTH,
    "token_endpoint_auth_signing_alg": Choice(SIGNING_ALGORITHMS),
    "token_endpoint_auth_signing_kid": Text(),
    "token_endpoint_auth_audience": Text(r"[!-~]{1,500}", "an issuer or a URL, without blanks"),
    "assertion_placement": Choice(("form", "bearer")),
    "assertion_claims": Params(),
    "assertion_ttl_s": Whole(10, 3_600),
    "pkce": Choice(("required", "supported", "none")),
    "scope_separator": Text(r"[ ,;|+]{1,2}", "a separator such as a blank or a comma"),
    "offline_scopes": Listed(),
    "authorize_params": Params(),
    "token_params": Params(),
    "refresh_params": Params(),
    "token_request_format": Choice(("form", "json")),
    "token_request_method": Choice(("POST", "GET")),
    "refresh_request_method": Choice(("POST", "GET")),
    "token_headers": Pairs(header_complaint),
    "token_param_names": Pairs(param_name_complaint),
    "refresh_with": Choice(("refresh_token", "access_token")),
    "refresh_rotates": Choice(("yes", "no", "sometimes")),
    "old_refresh_grace_s": Whole(0, 30 * _DAY),
    "old_refresh_grace_answer": Choice(("same", "newest", "unknown")),
    "reuse_detection": Choice(("revokes", "refuses", "none", "unknown")),
    "confirm_revocation_s": Whole(0, 3_600),
    "access_token_ttl_s": Whole(1, _TEN_YEARS),
    "refresh_token_ttl_s": Whole(1, _TEN_YEARS),
    "refresh_token_idle_ttl_s": Whole(1, _TEN_YEARS),
    "refresh_rate_per_min": Whole(1, _MOST_PER_MIN),
    "refresh_burst": Whole(1, _MOST_AT_ONCE),
    "refresh_concurrency": Whole(1, _MOST_AT_ONCE),
    "refresher": Text(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", "a refresher's name, in lower case"),
    "refresh_callout_url": Url(),
    "access_token_path": _TOKEN_PATH,
    "token_external_id_path": _TOKEN_PATH,
    "external_id_path": Text(r"[A-Za-z0-9_.{}\[\]+ -]{1,200}", "a path such as user.id"),
}
"""An OAuth 2 provider's settings, by the names of the contract and of RFC 8414 where that has one."""

OAUTH1_FIELDS: Mapping[str, Field] = {
    "request_token_url": Url(),
    "authorization_url": Url(),
    "access_token_url": Url(),
    "refresh_url": Url(),
    "revocation_url": Url(),
    **_OWN_REVOCATION,
    "userinfo_url": Url(),
    "external_id_path": OAUTH2_FIELDS["external_id_path"],
    "signature_method": Choice(("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")),
    "scope_separator": OAUTH2_FIELDS["scope_separator"],
    "authorize_params": Params(),
    "access_token_ttl_s": Whole(1, _TEN_YEARS),
}
"""An OAuth 1.0a provider's settings (RFC 5849, section 2)."""

_CHECKED_FIELDS: Mapping[str, Field] = {
    "userinfo_url": Url(),
    "external_id_path": OAUTH2_FIELDS["external_id_path"],
}

API_KEY_FIELDS: Mapping[str, Field] = {
    "key_placement": Text(
        r"(?:header|query) [A-Za-z0-9_-]{1,64}(?:: [ -~]{0,100})?|path /[A-Za-z0-9_{}/-]{1,100}",
        "a text such as header x-api-key: {key}, query key or path /bot{key}/",
    ),
    **_CHECKED_FIELDS,
}
"""An API-key provider's settings. `key_placement` says where a request carries the key."""

BASIC_FIELDS: Mapping[str, Field] = {
    "basic_username": Text(r"[ -~]{0,100}", "a text such as {username}/token"),
    "basic_password": Text(r"[ -~]{0,100}", "a text such as {password}"),
    **_CHECKED_FIELDS,
}
"""A Basic provider's settings: what stands before and after the colon (RFC 7617), in terms of the credentials."""

BEARER_FIELDS: Mapping[str, Field] = {
    "key_placement": API_KEY_FIELDS["key_placement"],
    "access_token_ttl_s": Whole(1, _TEN_YEARS),
    **_CHECKED_FIELDS,
}
"""A bearer provider's settings. Without `key_placement` the token goes into the Authorization header (RFC 6750)."""

CUSTOM_FIELDS: Mapping[str, Field] = {
    "request_headers": Params(),
    "request_query": Params(),
    **_CHECKED_FIELDS,
}
"""A custom provider's settings: headers and query of its requests, in terms of the credentials."""
