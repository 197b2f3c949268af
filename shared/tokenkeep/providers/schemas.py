"""What a provider takes, as JSON Schema (2020-12): credentials, options, properties."""

from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.options import option_fields, required_options

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SECRET = {"type": "string", "minLength": 1, "writeOnly": True}
_TEXT = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "format": "date-time"}

_TOKENS = {
    "access_token": _SECRET,
    "refresh_token": _SECRET,
    "expires_at": _TIME,
    "expires_in": {"type": "integer", "minimum": 1},
    "scopes": {"type": "array", "items": _TEXT},
    "token_type": _TEXT,
    "refresh_token_expires_at": _TIME,
}
_CODE = {"authorization_code": _SECRET, "redirect_uri": {"type": "string", "format": "uri"}, "code_verifier": _SECRET}


def credential_schema(provider: Provider) -> dict[str, Any]:
    """The member `credentials` of `POST /v1/accounts`."""
    match provider.auth_type:
        case AuthType.OAUTH2:
            tokens = _object(_TOKENS, ("access_token",), title="A token set")
            # A moment or a span, not both.
            tokens["not"] = {"required": ["expires_at", "expires_in"]}
            code = _object(_CODE, ("authorization_code", "redirect_uri"), title="An authorization code")
            return {"$schema": _DIALECT, "oneOf": [tokens, code]}
        case AuthType.OAUTH1:
            names = ("oauth_token", "oauth_token_secret")
            return _document(_object(dict.fromkeys(names, _SECRET), names))
        case AuthType.API_KEY:
            # Some providers want more than the key, such as a subdomain.
            return _document({**_object({"api_key": _SECRET}, ("api_key",)), "additionalProperties": _TEXT})
        case AuthType.BASIC:
            return _document(_object({"username": _TEXT, "password": _SECRET}, ("username", "password")))
        case AuthType.BEARER:
            return _document(_object({"access_token": _SECRET, "expires_at": _TIME}, ("access_token",)))
        case AuthType.CUSTOM:
            return _document({"type": "object", "minProperties": 1})


def options_schema(provider: Provider) -> dict[str, Any]:
    """The member `options` of `POST /v1/sources`, with the catalogue's own values as defaults."""
    properties = {}
    for name, kind in option_fields(provider.auth_type).items():
        default = getattr(provider, name, None)
        properties[name] = kind.schema() if default is None else {**kind.schema(), "default": default}
    return _document(_object(properties, required_options(provider)))


def property_schema(provider: Provider) -> dict[str, Any]:
    """The member `properties` of an account: what stands in the provider's addresses as `{name}`."""
    properties: dict[str, Any] = {}
    for placeholder in provider.placeholders:
        said = {"type": "string", "title": placeholder.title, "pattern": f"^(?:{placeholder.pattern})$"}
        properties[placeholder.name] = said if placeholder.default is None else {**said, "default": placeholder.default}
    needed = (item.name for item in provider.placeholders if item.required and item.default is None)
    return _document(_object(properties, tuple(needed)))


def _object(properties: dict[str, Any], required: tuple[str, ...], *, title: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required:
        said["required"] = list(required)
    return said if title is None else {"title": title, **said}


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **schema}
