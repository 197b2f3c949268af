"""One data file turned into a catalogue entry, with errors that name file and field."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.entry import (
    AssertionPlacement,
    Confidence,
    Grant,
    Holder,
    Presented,
    Property,
    Provider,
    RequestFormat,
    RequestMethod,
)
from tokenkeep.providers.entry_parts import (
    EntryFile,
    read_answers,
    read_credential_fields,
    read_placeholders,
    read_verification,
)
from tokenkeep.providers.field_kinds import Choice, Field, Flag, Listed, Prose, Text, Url, Whole
from tokenkeep.providers.fields import (
    API_KEY_FIELDS,
    BASIC_FIELDS,
    BEARER_FIELDS,
    CLIENT_AUTH,
    CUSTOM_FIELDS,
    OAUTH1_FIELDS,
    OAUTH2_FIELDS,
    PROVIDER_LIMITS,
)
from tokenkeep.providers.hook_files import read_hooks
from tokenkeep.providers.revocation_way import REVOCATION_NAMES, address_complaint

_SLUG = Text(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", "a slug of lower-case letters, digits and hyphens")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

OWN_NAMES = frozenset({"access_token", "client_id", "key", "refresh_token", "scope", "token"})
"""What may stand in braces without being declared: a request is filled with the source's and the account's own."""

HEAD_FIELDS: Mapping[str, Field] = {
    "name": Prose(),
    "auth_type": Choice(tuple(AuthType)),
    "extends": _SLUG,
    "categories": Listed(),
    "docs": Listed(Text(r"https?://\S{1,500}|recalled", "an address, or the word recalled")),
    "confidence": Choice(tuple(Confidence)),
    "documented_fields": Listed(),
    "recalled_fields": Listed(),
    "notes": Prose(),
    "revocation_event": Prose(),
    "credentials_help": Prose(),
}
"""What every entry may say, whatever its auth type."""

_BREAKS_OUT = ("x/", "x#", "x?", "x@y", "x:1", "x\\y", "evil.example/x?")
_CONFINE = "what accounts fill into a host must be confined to the provider's domain, or be held_by: source"
_OF_ACCOUNTS = frozenset({"verify.url", "verify.headers", "introspection_url"})
_OAUTH2_ONLY: Mapping[str, Field] = {
    "grant": Choice(tuple(Grant)),
    "token_endpoint_auth_methods_supported": Listed(CLIENT_AUTH),
    "gives_refresh_token": Flag(),
    "refresh_not_before_expiry_s": Whole(1, 86_400),
    "single_active_access_token": Flag(),
    "signed_token_requests": Flag(),
    **PROVIDER_LIMITS,
}
_STRUCTURED: Mapping[str, Callable[[EntryFile, str, object], object]] = {
    "placeholders": read_placeholders,
    "credentials": read_credential_fields,
    "answers": read_answers,
    "verify": read_verification,
    "hooks": read_hooks,
}
_MEMBERS = {"credentials": "credential_fields", "verify": "verification"}
# What a source may say for itself, a data file says under `verify`; and a callout needs a secret that only a source has.
_OPTIONS_ONLY = frozenset({"userinfo_url", "external_id_path", "refresh_callout_url"})
_ENUMS = {
    "assertion_placement": AssertionPlacement,
    "confidence": Confidence,
    "grant": Grant,
    "refresh_request_method": RequestMethod,
    "refresh_with": Presented,
    "token_request_format": RequestFormat,
    "token_request_method": RequestMethod,
}


def setting_fields(auth_type: AuthType) -> Mapping[str, Field]:
    """The settings of providers of this auth type; the options of their sources have the same names."""
    match auth_type:
        case AuthType.OAUTH2:
            return OAUTH2_FIELDS
        case AuthType.OAUTH1:
            return OAUTH1_FIELDS
        case AuthType.API_KEY:
            return API_KEY_FIELDS
        case AuthType.BASIC:
            return BASIC_FIELDS
        case AuthType.BEARER:
            return BEARER_FIELDS
        case AuthType.CUSTOM:
            return CUSTOM_FIELDS


def file_fields(auth_type: AuthType) -> Mapping[str, Field]:
    """The plain fields of a data file of this auth type, without those that have parts of their own."""
    own = {name: kind for name, kind in setting_fields(auth_type).items() if name not in _OPTIONS_ONLY}
    templated = {name: Url(templated=True) if isinstance(kind, Url) else kind for name, kind in own.items()}
    more = _OAUTH2_ONLY if auth_type is AuthType.OAUTH2 else {}
    return {**HEAD_FIELDS, **templated, **more}


def read_entry(file_name: str, slug: str, content: object, *, origin: str = "built-in") -> Provider:
    """The entry that a parsed file describes.

    Raises:
        CatalogueError: A field is unknown, missing or wrong, or an address has a placeholder that is not declared.
    """
    file = EntryFile(file_name)
    if _SLUG.complaint(slug) is not None:
        raise file.wrong("", "a slug has lower-case letters, digits and hyphens")
    said = file.mapping("", content)
    for name in ("name", "auth_type"):
        if name not in said:
            raise file.wrong(name, "is missing")
    fault = HEAD_FIELDS["auth_type"].complaint(said["auth_type"])
    if fault is not None:
        raise file.wrong("auth_type", fault.says)
    auth_type = AuthType(said["auth_type"])
    plain = {name: value for name, value in said.items() if name not in _STRUCTURED}
    file.checked("", plain, file_fields(auth_type))
    members: dict[str, Any] = {
        name: _member(name, value) for name, value in plain.items() if name not in {"auth_type", "extends"}
    }
    parts = {name: _STRUCTURED[name](file, name, value) for name, value in said.items() if name in _STRUCTURED}
    structured: dict[str, Any] = {_MEMBERS.get(name, name): part for name, part in parts.items()}
    provider = Provider(slug=slug, auth_type=auth_type, origin=origin, **members, **structured)
    _check_placeholders(file, provider, auth_type)
    return provider


def _member(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _ENUMS[name](value)
    return tuple(value) if isinstance(value, list) else value


def _check_placeholders(file: EntryFile, provider: Provider, auth_type: AuthType) -> None:
    """Every name in braces is declared, or one that we fill there ourselves; and no end user chooses a client's hosts."""
    declared = {it.name: it for it in provider.placeholders}
    for field, name in _used_placeholders(provider, file_fields(auth_type)):
        if name not in declared and name not in own_names(field):
            raise file.wrong(field, f"the placeholder {name!r} is not declared under placeholders")
    complaint = address_complaint(provider.revocation_url or "")
    if complaint is not None:
        raise file.wrong("revocation_url", complaint)
    if auth_type is not AuthType.OAUTH2:
        return
    for field in ("token_url", "refresh_url", "revocation_url"):
        host = urlsplit(getattr(provider, field) or "").netloc
        for name in _PLACEHOLDER.findall(host):
            it = declared.get(name)
            if it is not None and it.holder is Holder.ACCOUNT and _leads_away(it, host):
                raise file.wrong(f"placeholders.{name}.pattern", _CONFINE)


def own_names(field: str) -> frozenset[str]:
    """What needs no declaration in a field: a request is filled with the source's and the account's own."""
    if field == "verify.external_id":
        return frozenset()
    if field.startswith("revocation_"):
        return REVOCATION_NAMES
    if field.startswith("refresh_params.") or field in _OF_ACCOUNTS:
        return OWN_NAMES
    if field.startswith(("assertion_claims.", "token_params.")):
        return frozenset({"client_id", "scope"})
    return frozenset({"client_id"})


def _leads_away(it: Property, host: str) -> bool:
    """Whether a value that the pattern takes could make another host of an address: it would be sent the client's secret."""
    ends_the_host = host.endswith(f"{{{it.name}}}")
    foreign = (*_BREAKS_OUT, "evil.example") if ends_the_host else _BREAKS_OUT
    return any(re.fullmatch(it.pattern, text) for text in foreign)


def _used_placeholders(provider: Provider, fields: Mapping[str, Field]) -> Iterator[tuple[str, str]]:
    for field in (name for name, kind in fields.items() if isinstance(kind, Url)):
        for name in _PLACEHOLDER.findall(getattr(provider, field) or ""):
            yield field, name
    for field in ("refresh_params", "token_params", "authorize_params", "assertion_claims", "revocation_params"):
        for key, value in getattr(provider, field).items():
            for name in _PLACEHOLDER.findall(value):
                yield f"{field}.{key}", name
    check = provider.verification
    if check is not None:
        for name in _PLACEHOLDER.findall(check.url):
            yield "verify.url", name
        for name in (name for value in check.headers.values() for name in _PLACEHOLDER.findall(value)):
            yield "verify.headers", name
        for name in _PLACEHOLDER.findall(check.external_id or ""):
            yield "verify.external_id", name


def source_properties(provider: Provider) -> tuple[Property, ...]:
    """The placeholders that the source fills for all of its accounts."""
    return tuple(it for it in provider.placeholders if it.holder == "source")
