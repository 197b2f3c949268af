"""The cheap request that shows whether credentials work, written out."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.entry import Holder, Property, Provider, Verification
from tokenkeep.providers.request_credentials import RequestCredentials
from tokenkeep.providers.token_request import filled_in

_ALIASES = ("access_token", "token", "key")
_PLACED = re.compile(r"\{(?:access_token|token|key)\}")
_USER_AGENT = "tokenkeep"
"""Some providers answer nobody who does not say what he is."""


def verification_request(
    verification: Verification,
    provider: Provider,
    options: Mapping[str, Any],
    *,
    client_id: str,
    fields: Mapping[str, Secret],
    shown: RequestCredentials,
    properties: Mapping[str, str],
) -> TokenRequest:
    """The request. Whoever places the credentials in its address or headers himself gets no `Authorization` besides.

    Args:
        verification: What is asked.
        provider: The account's provider; it says what the placeholders may look like.
        options: The source's options, with the properties that it holds.
        client_id: The source's client.
        fields: The credentials, field by field.
        shown: What other requests with these credentials carry.
        properties: The account's properties.

    Raises:
        InvalidInput: A placeholder has no fitting value; the field is `properties.` and its name.
    """
    held = (_of_source(provider, options), properties)
    own = {**_credentials(fields), "client_id": client_id}
    placeholders = provider.placeholders
    said = {name: filled_in(text, placeholders, held, own) for name, text in verification.headers.items()}
    is_placed = any(_PLACED.search(text) for text in (verification.url, *verification.headers.values()))
    usual = {} if is_placed else {name.lower(): value for name, value in shown.headers.items()}
    headers = {"accept": "application/json", "user-agent": _USER_AGENT, **usual, **said}
    if verification.body is not None:
        headers.setdefault("content-type", "application/json")
    address = {name: quote(value, safe="") for name, value in own.items()}
    url, tail, query = _parted(verification.url, shown)
    return TokenRequest(
        url=filled_in(url, placeholders, held, {"client_id": address["client_id"]}),
        headers=headers,
        body=Secret(verification.body or ""),
        method=verification.method,
        tail=None if tail is None else Secret(filled_in(tail, placeholders, held, address)),
        query=None if query is None else Secret(filled_in(query, placeholders, held, address)),
    )


def names_in(provider: Provider, options: Mapping[str, Any], properties: Mapping[str, str]) -> Mapping[str, str]:
    """What may stand in braces in the path of an external id: properties whose values fit, and defaults."""
    of_source = _of_source(provider, options)
    found = {it.name: _held(it, of_source, properties) for it in provider.placeholders}
    return {name: value for name, value in found.items() if value is not None}


def _held(it: Property, of_source: Mapping[str, str], properties: Mapping[str, str]) -> str | None:
    value = (of_source if it.holder is Holder.SOURCE else properties).get(it.name)
    return value or it.default


def _of_source(provider: Provider, options: Mapping[str, Any]) -> Mapping[str, str]:
    of_sources = (it.name for it in provider.placeholders if it.holder is Holder.SOURCE)
    return {name: str(options[name]) for name in of_sources if name in options}


def _credentials(fields: Mapping[str, Secret]) -> dict[str, str]:
    own = {name: secret.reveal() for name, secret in fields.items()}
    main = own.get("access_token", own.get("api_key"))
    return own if main is None else {**dict.fromkeys(_ALIASES, main), **own}


def _parted(url: str, shown: RequestCredentials) -> tuple[str, str | None, str | None]:
    """The address up to where secrets begin, the end of its path, and its query, both of which may hold some."""
    address, _, asked = url.partition("?")
    head, tail = address, None
    placed = _PLACED.search(url)
    if shown.path is not None and placed is None:
        parts = urlsplit(address)
        # It is complete: nothing in it is to be taken for a placeholder.
        own = shown.path.rstrip("/").replace("{", "%7B").replace("}", "%7D")
        head, tail = f"{parts.scheme}://{parts.netloc}", f"{own}{parts.path}"
    elif placed is not None and placed.start() < len(address):
        head, tail = address[: placed.start()], address[placed.start() :]
    added = urlencode(shown.query) if placed is None else ""
    return head, tail, "&".join(it for it in (asked, added) if it) or None
