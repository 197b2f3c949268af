"""The requests that a token endpoint wants, written out."""

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urlencode

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.client_authentication import Client, credentials_of
from tokenkeep.providers.entry import Holder, Presented, Property, RequestFormat, RequestMethod
from tokenkeep.providers.entry_file import OWN_NAMES
from tokenkeep.providers.rules import OAuth2Rules

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_LONGEST_VALUE = 500
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ANY: Mapping[str, str] = MappingProxyType(dict.fromkeys(OWN_NAMES, ""))


def refresh_request(
    rules: OAuth2Rules,
    *,
    client: Client,
    refresh_token: Secret,
    properties: Mapping[str, str],
) -> TokenRequest:
    """A refresh (RFC 6749, section 6). Sends no scope unless the provider's refresh parameters hold one.

    Where a long-lived access token is exchanged for a new one, the provider's parameters say all of it.

    Raises:
        InvalidInput: A placeholder of the address has no fitting value; the field is `properties.` and its name.
    """
    own = {rules.presented.value: refresh_token.reveal(), "client_id": client.id}
    is_exchange = rules.presented is Presented.ACCESS_TOKEN
    params = {} if is_exchange else {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    for name, value in rules.refresh_params.items():
        params[name] = filled(rules, value, properties, own)
    url = filled(rules, rules.refresh_url, properties, _in_address(client.id))
    return token_request(rules, url, params, client, method=rules.refresh_method)


def check_properties(rules: OAuth2Rules, properties: Mapping[str, str]) -> None:
    """See that the account has what its refreshes will need.

    Raises:
        InvalidInput: A property is missing, or its pattern does not match all of it; the field names it.
    """
    templates = (rules.refresh_url, *rules.refresh_params.values())
    if rules.presented is Presented.MACHINE_CREDENTIALS:
        templates = (rules.token_url, *rules.token_params.values(), *rules.grant_assertion.claims.values())
    for template in templates:
        filled(rules, template, properties, _ANY)


def authorization_code_request(
    rules: OAuth2Rules,
    *,
    client: Client,
    code: Secret,
    redirect_uri: str,
    code_verifier: Secret | None,
    properties: Mapping[str, str],
) -> TokenRequest:
    """The exchange of an authorization code (RFC 6749, section 4.1.3), with PKCE's verifier where there is one.

    Raises:
        InvalidInput: A placeholder of the address has no fitting value; the field is `properties.` and its name.
    """
    params = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
    if code_verifier is not None:
        params["code_verifier"] = code_verifier.reveal()
    for name, value in rules.token_params.items():
        params[name] = filled(rules, value, properties, {"client_id": client.id})
    return token_request(rules, token_endpoint(rules, client.id, properties), params, client)


def token_endpoint(rules: OAuth2Rules, client_id: str, properties: Mapping[str, str]) -> str:
    """The address of the token endpoint. It is also the name by which a server knows itself in assertions (RFC 7523, section 3).

    Raises:
        InvalidInput: A placeholder of the address has no fitting value; the field is `properties.` and its name.
    """
    return filled(rules, rules.token_url, properties, _in_address(client_id))


class Filling(Protocol):
    """What templates are filled by."""

    @property
    def placeholders(self) -> tuple[Property, ...]:
        """Which properties there are."""

    @property
    def source_properties(self) -> Mapping[str, str]:
        """Those that the source holds."""


def filled(rules: Filling, template: str, properties: Mapping[str, str], own: Mapping[str, str] = _NOTHING) -> str:
    """The template with a property in place of each `{name}`: the account's, the source's, or its default.

    Args:
        rules: The source's rules; they say which properties there are and what they may look like.
        template: An address, or the value of a parameter.
        properties: The account's properties.
        own: What is ours to fill in and needs no look, such as `client_id`.

    Raises:
        InvalidInput: A property is missing, or its pattern does not match all of it.
    """
    return filled_in(template, rules.placeholders, (rules.source_properties, properties), own)


def filled_in(
    template: str,
    placeholders: Iterable[Property],
    held: tuple[Mapping[str, str], Mapping[str, str]],
    own: Mapping[str, str] = _NOTHING,
) -> str:
    """As `filled`; `held` are the properties of the source, and those of the account."""
    if "{" not in template:
        return template
    known = {placeholder.name: placeholder for placeholder in placeholders}
    of_source, of_account = held

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        placeholder = known.get(name)
        if placeholder is None and name in own:
            return own[name]
        holder = of_source if placeholder and placeholder.holder is Holder.SOURCE else of_account
        value = holder.get(name) or (placeholder.default if placeholder else None)
        if placeholder is None or not value:
            raise InvalidInput(field=f"properties.{name}", detail="the provider's address needs it")
        if len(value) > _LONGEST_VALUE or not re.fullmatch(placeholder.pattern, value):
            raise InvalidInput(field=f"properties.{name}", detail=f"expected a text that matches {placeholder.pattern}")
        return value

    return _PLACEHOLDER.sub(value_of, template)


def placeholders_in(template: str) -> frozenset[str]:
    """The names of what `filled` would put in."""
    return frozenset(_PLACEHOLDER.findall(template))


def _in_address(client_id: str) -> Mapping[str, str]:
    return {"client_id": quote(client_id, safe="")}


def token_request(
    rules: OAuth2Rules,
    url: str,
    params: Mapping[str, str],
    client: Client,
    *,
    authorization: str | None = None,
    method: RequestMethod | None = None,
) -> TokenRequest:
    """A request of these parameters, in the shape that the provider wants, by a client that shows who it is.

    A client without an id is none, and shows nothing. `authorization` is a header in the place of the client's, `method` one in
    the place of the rules'.
    """
    shown, proof = credentials_of(client) if client.id else ({}, {})
    if authorization is not None:
        shown = {"authorization": authorization}
    # Ours come last: whatever an entry says, it can't replace them.
    headers = {**rules.token_headers, "accept": "application/json", **shown}
    named = {rules.param_names.get(name, name): value for name, value in {**params, **proof}.items()}
    if (method or rules.request_method) is RequestMethod.GET:
        query = Secret(urlencode(named))
        return TokenRequest(url, headers, Secret(""), "GET", query=query, client_key=client.key)
    if rules.request_format is RequestFormat.JSON:
        headers["content-type"] = "application/json"
        return TokenRequest(url, headers, Secret(json.dumps(named)), client_key=client.key)
    headers["content-type"] = "application/x-www-form-urlencoded"
    return TokenRequest(url, headers, Secret(urlencode(named)), client_key=client.key)
