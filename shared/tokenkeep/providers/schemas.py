"""What a provider takes, as JSON Schema (2020-12): credentials, options, properties."""

from typing import Any

from tokenkeep.providers.account_properties import account_properties, required_properties
from tokenkeep.providers.credential_fields import EXPIRES_AT, CredentialForm, form_at
from tokenkeep.providers.entry import CredentialField, Grant, Holder, Provider
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
_GOOGLE_FILE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "client_email": _TEXT,
        "private_key": _SECRET,
        "private_key_id": _TEXT,
        "subject": _TEXT,
        "scope": _TEXT,
    },
    "required": ["client_email", "private_key"],
}
_CODE = {"authorization_code": _SECRET, "redirect_uri": {"type": "string", "format": "uri"}, "code_verifier": _SECRET}


def credential_schema(provider: Provider, *, source_has_client: bool = True) -> dict[str, Any]:
    """The member `credentials` of `POST /v1/accounts`. A machine brings more where its source has no client."""
    form = form_at(provider, source_has_client=source_has_client)
    if form is None:
        tokens = _object(_TOKENS, ("access_token",), title="A token set")
        # A moment or a span, not both.
        tokens["not"] = {"required": ["expires_at", "expires_in"]}
        code = _object(_CODE, ("authorization_code", "redirect_uri"), title="An authorization code")
        return {"$schema": _DIALECT, "oneOf": [tokens, code]}
    if provider.grant is Grant.JWT_BEARER:
        shown = _with_fields(form)
        google = {"title": "A service account's key file, as Google writes it", **_GOOGLE_FILE}
        return {"$schema": _DIALECT, "anyOf": [{"title": "What signs assertions", **shown}, google]}
    return _document(_with_fields(form))


def _with_fields(form: CredentialForm) -> dict[str, Any]:
    said = {it.name: _credential(form, it) for it in form.fields.values()}
    if form.expires:
        said[EXPIRES_AT] = _TIME
    shown = _object(said, form.required)
    if form.takes_others:
        shown["additionalProperties"] = _TEXT
    return shown if form.fields else {**shown, "minProperties": 1}


def _credential(form: CredentialForm, it: CredentialField) -> dict[str, Any]:
    said: dict[str, Any] = {"title": it.title, **(_SECRET if it.secret else _TEXT), **_explained(it.help)}
    if it.name in form.may_be_empty:
        del said["minLength"]
    return said if it.pattern is None else {**said, "pattern": f"^(?:{it.pattern})$"}


def _explained(text: str | None) -> dict[str, str]:
    return {} if text is None else {"description": text}


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
    for it in account_properties(provider):
        said = {"type": "string", "title": it.title, "pattern": f"^(?:{it.pattern})$", **_explained(it.help)}
        shown = {} if it.example is None else {"examples": [it.example]}
        properties[it.name] = {**said, **shown} if it.default is None else {**said, **shown, "default": it.default}
    return _document(_object(properties, required_properties(provider)))


def account_schema(provider: Provider, *, source_has_client: bool) -> dict[str, Any]:
    """What an account of a source needs. `required` names it as problems do, and as accounts tell what they lack."""
    return {
        "credentials": credential_schema(provider, source_has_client=source_has_client),
        "properties": property_schema(provider),
        "required": [
            *required_credentials(provider, source_has_client=source_has_client),
            *(f"properties.{name}" for name in required_properties(provider)),
        ],
    }


def required_credentials(provider: Provider, *, source_has_client: bool) -> tuple[str, ...]:
    """The credentials without which an account can't be used; `credentials` alone where none of them is required by name."""
    form = form_at(provider, source_has_client=source_has_client)
    names = ("access_token",) if form is None else form.required
    return tuple(f"credentials.{name}" for name in names) or ("credentials",)


def _object(properties: dict[str, Any], required: tuple[str, ...], *, title: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required:
        said["required"] = list(required)
    return said if title is None else {"title": title, **said}


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **schema}
