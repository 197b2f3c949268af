"""What a provider takes, as JSON Schema (2020-12): credentials, options, properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.entry import CredentialField, Holder, Provider
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
            said = _with_fields({"api_key": _SECRET}, ("api_key",), provider.credential_fields)
            return _document(said if provider.credential_fields else {**said, "additionalProperties": _TEXT})
        case AuthType.BASIC:
            own = {"username": _TEXT, "password": _SECRET}
            return _document(_with_fields(own, tuple(own), provider.credential_fields))
        case AuthType.BEARER:
            return _document(_object({"access_token": _SECRET, "expires_at": _TIME}, ("access_token",)))
        case AuthType.CUSTOM:
            if not provider.credential_fields:
                return _document({"type": "object", "minProperties": 1})
            return _document(_with_fields({}, (), provider.credential_fields))


def _with_fields(own: Mapping[str, Any], required: Sequence[str], fields: Sequence[CredentialField]) -> dict[str, Any]:
    """An object of what every provider of the kind takes, with the titles and the further fields of this one."""
    said = {**own, **{it.name: _credential(it) for it in fields}}
    return _object(said, tuple(dict.fromkeys([*required, *(it.name for it in fields if it.required)])))


def _credential(it: CredentialField) -> dict[str, Any]:
    said = {"title": it.title, **(_SECRET if it.secret else _TEXT)}
    return said if it.pattern is None else {**said, "pattern": f"^(?:{it.pattern})$"}


def options_schema(provider: Provider) -> dict[str, Any]:
    """The member `options` of `POST /v1/sources`, with the catalogue's own values as defaults."""
    properties = {}
    titles = {it.name: it.title for it in provider.placeholders}
    for name, kind in option_fields(provider).items():
        default = _default(provider, name)
        said = {"title": titles[name], **kind.schema()} if name in titles else kind.schema()
        properties[name] = said if default is None else {**said, "default": default}
    return _document(_object(properties, required_options(provider)))


def _default(provider: Provider, name: str) -> Any:
    """What the catalogue says where an option is not given; None when it says nothing."""
    held = {it.name: it.default for it in provider.placeholders if it.holder is Holder.SOURCE}
    if name in held:
        return held[name]
    check = provider.verification
    if name == "userinfo_url" and check is not None:
        return check.url
    if name == "external_id_path" and check is not None:
        return check.external_id
    default = getattr(provider, name, None)
    if default in ({}, ()):
        return None
    return list(default) if isinstance(default, tuple) else default


def property_schema(provider: Provider) -> dict[str, Any]:
    """The member `properties` of an account: what stands in the provider's addresses as `{name}`."""
    properties: dict[str, Any] = {}
    own = [it for it in provider.placeholders if it.holder is Holder.ACCOUNT]
    for it in own:
        said = {"type": "string", "title": it.title, "pattern": f"^(?:{it.pattern})$"}
        shown = {} if it.example is None else {"examples": [it.example]}
        properties[it.name] = {**said, **shown} if it.default is None else {**said, **shown, "default": it.default}
    needed = (it.name for it in own if it.required and it.default is None)
    return _document(_object(properties, tuple(needed)))


def _object(properties: dict[str, Any], required: tuple[str, ...], *, title: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required:
        said["required"] = list(required)
    return said if title is None else {"title": title, **said}


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **schema}
