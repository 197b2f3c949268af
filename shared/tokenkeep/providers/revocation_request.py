"""The request that has a grant revoked, written out."""

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.client_authentication import Client, credentials_of
from tokenkeep.providers.revocation_way import (
    RevocationFormat,
    RevocationMethod,
    RevocationWay,
    TokenKind,
    split_address,
)
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_request import filled

_USER_AGENT = "tokenkeep"
_DOTS = frozenset({".", ".."})


def revocation_request(
    rules: OAuth2Rules,
    way: RevocationWay,
    *,
    client: Client,
    tokens: Mapping[TokenKind, Secret],
    properties: Mapping[str, str],
) -> TokenRequest:
    """The revocation of a grant, in the provider's way, with those of its tokens that the way takes.

    Where the way says no more than an address it is RFC 7009, section 2.1: a posted form, whatever the token endpoint takes.

    Raises:
        InvalidInput: A placeholder has no fitting value, or a token can't stand in a path. No value is quoted.
    """
    kind = way.revoked_of(tokens)
    own = {"client_id": client.id, **{held.value: token.reveal() for held, token in tokens.items()}}
    if kind in tokens:
        own["token"] = tokens[kind].reveal()
    params = {name: filled(rules, value, properties, own) for name, value in way.params.items()}
    if way.sends_standard_params:
        params = {"token": own["token"], "token_type_hint": kind.value}
    shown, proof = credentials_of(client) if way.by_client else ({}, {})
    params |= {rules.param_names.get(name, name): value for name, value in proof.items()}
    # Some providers turn a request away that does not say what sent it.
    headers = {"user-agent": _USER_AGENT, **rules.token_headers, "accept": "application/json", **shown}
    if way.header is not None:
        name, template = way.header
        headers[name] = filled(rules, template, properties, {**own, **_client_secret(client)})
    url, tail = _address(rules, way.url, properties, own)
    return _written(way, TokenRequest(url, headers, Secret(""), way.method, tail=tail, client_key=client.key), params)


def revocation_host(rules: OAuth2Rules, properties: Mapping[str, str]) -> str | None:
    """Host and port that the revocation goes to; None where there is no way, or a property is missing that the address needs."""
    if rules.revocation is None:
        return None
    shown, _ = split_address(rules.revocation.url)
    try:
        return urlsplit(filled(rules, shown, properties, {"client_id": ""})).netloc.rpartition("@")[2].lower()
    except (InvalidInput, ValueError):
        return None


def _written(way: RevocationWay, request: TokenRequest, params: Mapping[str, str]) -> TokenRequest:
    """The request with its parameters where the provider wants them. Without any it has neither a query nor a body."""
    headers, query, body = dict(request.headers), None, ""
    if params and (way.method is RevocationMethod.GET or way.request_format is RevocationFormat.QUERY):
        query = Secret(urlencode(params))
    elif params and way.request_format is RevocationFormat.JSON:
        headers["content-type"] = "application/json"
        body = json.dumps(params)
    elif params:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode(params)
    return TokenRequest(
        request.url,
        headers,
        Secret(body),
        request.method,
        query=query,
        tail=request.tail,
        client_key=request.client_key,
    )


def _address(
    rules: OAuth2Rules, template: str, properties: Mapping[str, str], own: Mapping[str, str]
) -> tuple[str, Secret | None]:
    """The address, and the secret end of its path where it has one."""
    shown, rest = split_address(template)
    client_id = {"client_id": quote(own["client_id"], safe="")}
    url = filled(rules, shown, properties, client_id)
    if not rest:
        return url, None
    if _DOTS & {value for name, value in own.items() if f"{{{name}}}" in rest}:
        raise InvalidInput("credentials", "a token of dots can't stand in a path")
    return url, Secret(filled(rules, rest, properties, {name: quote(value, safe="") for name, value in own.items()}))


def _client_secret(client: Client) -> Mapping[str, str]:
    secret = client.sent_secret
    return {} if secret is None else {"client_secret": secret.reveal()}
