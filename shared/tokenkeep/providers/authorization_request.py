"""The request that takes an end user to a provider's authorization endpoint (RFC 6749, section 4.1.1)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Holder, Property, Provider
from tokenkeep.providers.rules import OAuth2Rules, Pkce
from tokenkeep.providers.token_request import filled, placeholders_in


def authorization_url(
    rules: OAuth2Rules,
    *,
    client_id: str,
    redirect_uri: str,
    scopes: Sequence[str],
    state: Secret,
    code_verifier: Secret | None,
    properties: Mapping[str, str],
) -> str:
    """The address with its query, PKCE's challenge (RFC 7636, S256) in it where there is a verifier.

    What the provider's entry adds (`authorize_params`) never outranks what the protocol wants.

    Raises:
        InvalidInput: There is no such address, or a placeholder of it has no fitting value.
    """
    if rules.authorization_url is None:
        raise InvalidInput("options.authorization_url", "the source knows no address to send users to")
    parts = urlsplit(filled(rules, rules.authorization_url, properties, {"client_id": quote(client_id, safe="")}))
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in rules.authorize_params.items():
        params[name] = filled(rules, value, properties, {"client_id": client_id})
    asked = asked_scopes(rules, scopes)
    if asked:
        params["scope"] = rules.scope_separator.join(asked)
    params |= {
        "response_type": "code",
        rules.param_names.get("client_id", "client_id"): client_id,
        "redirect_uri": redirect_uri,
        "state": state.reveal(),
    }
    if code_verifier is not None:
        params |= {"code_challenge": _challenge(code_verifier), "code_challenge_method": "S256"}
    return urlunsplit(parts._replace(query=urlencode(params)))


def asked_scopes(rules: OAuth2Rules, scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes to ask for: those wanted, and those without which the provider gives no refresh token."""
    return tuple(dict.fromkeys((*scopes, *rules.offline_scopes)))


def wants_pkce(rules: OAuth2Rules) -> bool:
    """Whether a challenge is sent: unless the provider is known to choke on it, for others ignore it at worst."""
    return rules.pkce is not Pkce.NONE


def missing_properties(rules: OAuth2Rules, properties: Mapping[str, str]) -> tuple[Property, ...]:
    """What must still be known of the account before its user can be sent to the provider, in the entry's order."""
    templates = (
        rules.authorization_url or "",
        rules.token_url,
        rules.refresh_url,
        *rules.authorize_params.values(),
        *rules.refresh_params.values(),
    )
    return missing_in(templates, rules.placeholders, properties)


def missing_in(
    templates: Iterable[str], placeholders: Iterable[Property], properties: Mapping[str, str]
) -> tuple[Property, ...]:
    """What the templates need of the account that is not known, and what the account must have anyway."""
    used = {name for template in templates for name in placeholders_in(template)}
    return tuple(
        wanted
        for wanted in placeholders
        if wanted.holder is Holder.ACCOUNT
        and wanted.default is None
        and not properties.get(wanted.name)
        and (wanted.required or wanted.name in used)
    )


def fits(wanted: Property, value: str) -> bool:
    """Whether a value can stand for the property."""
    return value.isprintable() and re.fullmatch(wanted.pattern, value) is not None


def is_from_issuer(provider: Provider, options: Mapping[str, Any], told: str | None) -> bool:
    """Whether an answer may be used by the issuer that it names (RFC 9207, section 2.4). `told` None: it names none.

    It must be the source's, where that is known (RFC 8414), and be named at all where the server says that it always is: else
    somebody who can leave it out could pass off another server's answer.
    """
    if told is None:
        own = options.get("authorization_response_iss_parameter_supported")
        return not (provider.authorization_response_iss_parameter_supported if own is None else own)
    issuer = options.get("issuer") or provider.issuer
    return issuer is None or told == issuer


def _challenge(verifier: Secret) -> str:
    return urlsafe_b64encode(sha256(verifier.reveal().encode()).digest()).rstrip(b"=").decode()
