"""The requests that a token endpoint wants, written out."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote_plus, urlencode

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.entry import Property, RequestFormat
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")


def refresh_request(
    rules: OAuth2Rules,
    *,
    client_id: str,
    client_secret: Secret | None,
    refresh_token: Secret,
    properties: Mapping[str, str],
) -> TokenRequest:
    """A refresh (RFC 6749, section 6). Sends no scope unless the provider's refresh parameters hold one.

    Raises:
        InvalidInput: A placeholder of the address has no fitting value; the field is `properties.` and its name.
    """
    params = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    for name, value in rules.refresh_params.items():
        params[name] = fill(value, rules.placeholders, properties)
    url = fill(rules.refresh_url, rules.placeholders, properties)
    return _request(rules, url, params, client_id=client_id, client_secret=client_secret)


def authorization_code_request(
    rules: OAuth2Rules,
    *,
    client_id: str,
    client_secret: Secret | None,
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
    url = fill(rules.token_url, rules.placeholders, properties)
    return _request(rules, url, params, client_id=client_id, client_secret=client_secret)


def revocation_request(
    rules: OAuth2Rules,
    url: str,
    *,
    client_id: str,
    client_secret: Secret | None,
    refresh_token: Secret,
    properties: Mapping[str, str],
) -> TokenRequest:
    """The revocation of a refresh token, and of the grant with it (RFC 7009, section 2.1).

    A form whatever the token endpoint takes: the RFC knows nothing else.

    Raises:
        InvalidInput: A placeholder of the address has no fitting value; the field is `properties.` and its name.
    """
    params = {"token": refresh_token.reveal(), "token_type_hint": "refresh_token"}
    form = replace(rules, request_format=RequestFormat.FORM)
    address = fill(url, rules.placeholders, properties)
    return _request(form, address, params, client_id=client_id, client_secret=client_secret)


def fill(template: str, placeholders: Sequence[Property], properties: Mapping[str, str]) -> str:
    """The template with the account's properties, or their defaults, in place of `{name}`.

    Raises:
        InvalidInput: A property is missing, or its pattern does not match all of it.
    """
    known = {placeholder.name: placeholder for placeholder in placeholders}

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        placeholder = known.get(name)
        value = properties.get(name) or (placeholder.default if placeholder else None)
        if placeholder is None or not value:
            raise InvalidInput(field=f"properties.{name}", detail="the provider's address needs it")
        if not re.fullmatch(placeholder.pattern, value):
            raise InvalidInput(field=f"properties.{name}", detail=f"expected a text that matches {placeholder.pattern}")
        return value

    return _PLACEHOLDER.sub(value_of, template)


def _request(
    rules: OAuth2Rules, url: str, params: dict[str, str], *, client_id: str, client_secret: Secret | None
) -> TokenRequest:
    headers = {"accept": "application/json"}
    if rules.client_auth is ClientAuth.BASIC and client_secret is not None:
        headers["authorization"] = _basic(client_id, client_secret)
    else:
        params["client_id"] = client_id
        if rules.client_auth is ClientAuth.POST and client_secret is not None:
            params["client_secret"] = client_secret.reveal()
    if rules.request_format is RequestFormat.JSON:
        headers["content-type"] = "application/json"
        return TokenRequest(url, headers, Secret(json.dumps(params)))
    headers["content-type"] = "application/x-www-form-urlencoded"
    return TokenRequest(url, headers, Secret(urlencode(params)))


def _basic(client_id: str, client_secret: Secret) -> str:
    """RFC 6749, section 2.3.1: each half is form-encoded first, so that a colon in an id does no harm."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}"
    return "Basic " + b64encode(pair.encode()).decode()
