"""The rules by which one source's OAuth 1.0a server is spoken to, and where its users are sent (RFC 5849, section 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Property, Provider
from tokenkeep.providers.entry_file import source_properties
from tokenkeep.providers.oauth1 import signature_method
from tokenkeep.providers.token_request import filled

_ADDRESSES: Final = ("request_token_url", "authorization_url", "access_token_url")


@dataclass(frozen=True, slots=True)
class OAuth1Rules:
    """A provider's entry with a source's options laid over it. URLs may hold placeholders, as those of OAuth 2 may."""

    request_token_url: str
    authorization_url: str
    access_token_url: str
    signature_method: str
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    scope_separator: str = " "
    placeholders: tuple[Property, ...] = ()
    source_properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def templates(self) -> tuple[str, ...]:
        """Everything that an account's properties may have to be filled into on the way to its token."""
        return (self.request_token_url, self.authorization_url, self.access_token_url, *self.authorize_params.values())


def oauth1_rules(provider: Provider, options: Mapping[str, Any]) -> OAuth1Rules:
    """The rules for a source: its options where it has them, the provider's entry where not.

    Raises:
        InvalidInput: Neither knows one of the three addresses; the field is `options.` and its name.
    """

    def chosen(name: str) -> Any:
        value = options.get(name)
        return getattr(provider, name) if value is None else value

    for name in _ADDRESSES:
        if chosen(name) is None:
            raise InvalidInput(field=f"options.{name}", detail=f"{provider.slug} needs it")
    return OAuth1Rules(
        request_token_url=chosen("request_token_url"),
        authorization_url=chosen("authorization_url"),
        access_token_url=chosen("access_token_url"),
        signature_method=signature_method(provider, options),
        authorize_params=chosen("authorize_params"),
        scope_separator=chosen("scope_separator") or " ",
        placeholders=provider.placeholders,
        source_properties={it.name: options[it.name] for it in source_properties(provider) if it.name in options},
    )


def owner_authorization_url(
    rules: OAuth1Rules, *, client_id: str, token: Secret, scopes: Sequence[str], properties: Mapping[str, str]
) -> str:
    """Where a user is sent with temporary credentials (RFC 5849, section 2.2).

    The protocol knows no scopes; providers that do take them here. What the provider's entry adds (`authorize_params`) never
    outranks them, nor the token.

    Raises:
        InvalidInput: A placeholder of the address has no fitting value.
    """
    parts = urlsplit(filled_address(rules, rules.authorization_url, client_id, properties))
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in rules.authorize_params.items():
        params[name] = filled(rules, value, properties, {"client_id": client_id})
    if scopes:
        params["scope"] = rules.scope_separator.join(scopes)
    params["oauth_token"] = token.reveal()
    return urlunsplit(parts._replace(query=urlencode(params)))


def filled_address(rules: OAuth1Rules, template: str, client_id: str, properties: Mapping[str, str]) -> str:
    """One of the addresses, with the account's properties in it.

    Raises:
        InvalidInput: A placeholder has no fitting value; the field is `properties.` and its name.
    """
    return filled(rules, template, properties, {"client_id": quote(client_id, safe="")})
