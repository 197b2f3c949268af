"""What a request to a provider needs to be recognised: headers, parameters of its query, or a part of its path.

One pure function for every kind of credentials, so that whoever makes requests, or tells others how, does the same.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Holder, Provider

_NAME = re.compile(r"\{([^{}]*)\}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
_PLACEMENT = re.compile(r"(header|query|path) ([^:\s]+)(?:: (.*))?")
_ALIASES = ("key", "token")
_BEARER = "Bearer"


@dataclass(frozen=True, slots=True)
class RequestCredentials:
    """Ready to use. `path` is put before a request's own path. `is_signed`: each request is signed for itself (RFC 5849)."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    is_signed: bool = False

    def __repr__(self) -> str:
        return f"RequestCredentials(header names {sorted(self.headers)}, query names {sorted(self.query)})"


def request_credentials(
    provider: Provider,
    options: Mapping[str, Any],
    fields: Mapping[str, Secret],
    *,
    token_type: str = _BEARER,
    properties: Mapping[str, Any],
) -> RequestCredentials:
    """What requests need that are made with these credentials.

    Args:
        provider: The account's provider.
        options: Its source's options, which outrank the provider's entry.
        fields: The credentials, field by field; of OAuth 2 the `access_token` is all that is needed.
        token_type: The scheme that the provider named beside an OAuth 2 token.
        properties: The account's properties.

    Raises:
        InvalidInput: A field or a property is missing that the provider's requests are made of, or can't stand in a header.
    """
    said = _Said(provider, options, {name: it.reveal() for name, it in fields.items()}, properties)
    match provider.auth_type:
        case AuthType.OAUTH2:
            return RequestCredentials(bearer_header(fields["access_token"], token_type))
        case AuthType.OAUTH1:
            return RequestCredentials(is_signed=True)
        case AuthType.API_KEY:
            placement = said.chosen("key_placement")
            return RequestCredentials() if placement is None else _placed(said, placement)
        case AuthType.BEARER:
            placement = said.chosen("key_placement")
            if placement is not None:
                return _placed(said, placement)
            return RequestCredentials(bearer_header(fields["access_token"], _BEARER))
        case AuthType.BASIC:
            return RequestCredentials({"Authorization": _basic(said)})
        case AuthType.CUSTOM:
            headers = {_shown(name): _header(said, text) for name, text in said.chosen("request_headers").items()}
            query = {name: said.filled(text) for name, text in said.chosen("request_query").items()}
            return RequestCredentials(headers, query)


def bearer_header(token: Secret, token_type: str) -> Mapping[str, str]:
    """RFC 6750, section 2.1; other token types are schemes of their own."""
    scheme = _BEARER if token_type.lower() == "bearer" else token_type
    return {"Authorization": f"{scheme} {token.reveal()}"}


@dataclass(frozen=True, slots=True)
class _Said:
    """Everything that templates are filled from: the credentials, then what account and source say of themselves."""

    provider: Provider
    options: Mapping[str, Any]
    fields: Mapping[str, str]
    properties: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"_Said({self.provider.slug})"

    def chosen(self, name: str) -> Any:
        value = self.options.get(name)
        return getattr(self.provider, name) if value is None else value

    def filled(self, template: str) -> str:
        return _NAME.sub(lambda match: self._value(match[1]), template)

    def field_of(self, name: str) -> str | None:
        """The credentials' field that a template means by a name."""
        meant = (name, *(("api_key", "access_token") if name in _ALIASES else ()))
        return next((it for it in meant if it in self.fields), None)

    def _value(self, name: str) -> str:
        meant = self.field_of(name)
        if meant is not None:
            return self.fields[meant]
        for it in self.provider.placeholders:
            if it.name == name:
                held = self.options if it.holder is Holder.SOURCE else self.properties
                value = held.get(name) or it.default
                if value:
                    return str(value)
                raise InvalidInput(f"properties.{name}", "the provider's requests need it")
        if any(it.name == name and not it.required for it in self.provider.credential_fields):
            return ""
        raise InvalidInput(f"credentials.{name}", "the provider's requests need it")


def _placed(said: _Said, placement: str) -> RequestCredentials:
    match = _PLACEMENT.fullmatch(placement)
    assert match is not None  # noqa: S101 - the field's kind says what a placement looks like
    where, name, template = match[1], match[2], match[3] or "{key}"
    if where == "header":
        return RequestCredentials({_shown(name): _header(said, template)})
    if where == "query":
        return RequestCredentials(query={name: said.filled(template)})
    return RequestCredentials(path=said.filled(name))


def _shown(name: str) -> str:
    return "Authorization" if name.lower() == "authorization" else name


def _header(said: _Said, template: str) -> str:
    value = said.filled(template)
    if _HEADER_VALUE.fullmatch(value):
        return value
    used = [said.field_of(name) for name in _NAME.findall(template)]
    named = next((f"credentials.{name}" for name in used if name is not None), "credentials")
    raise InvalidInput(named, "expected visible ASCII, with blanks inside at most: it goes into a header")


def _basic(said: _Said) -> str:
    """RFC 7617. The text is UTF-8; a user name holds no colon, for the first one ends it."""
    username, password = said.chosen("basic_username"), said.chosen("basic_password")
    name = said.filled("{username}" if username is None else username)
    if ":" in name:
        raise InvalidInput("credentials.username", "a user name holds no colon")
    pair = f"{name}:{said.filled('{password}' if password is None else password)}"
    return "Basic " + b64encode(pair.encode()).decode()
