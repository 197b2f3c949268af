"""The requests by which machines come by their tokens (RFC 6749, section 4.4; RFC 7523, section 2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.client_assertion import UnsignedAssertion
from tokenkeep.providers.client_authentication import Client
from tokenkeep.providers.entry import AssertionPlacement
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules
from tokenkeep.providers.token_request import filled, token_endpoint, token_request

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a token: the client, which may be none, and what scope it is for."""

    client: Client
    scope: str
    properties: Mapping[str, str]

    def own(self) -> Mapping[str, str]:
        """What is ours to fill into the provider's parameters and claims."""
        return {"client_id": self.client.id, "scope": self.scope}


def client_credentials_request(rules: OAuth2Rules, asker: Asker) -> TokenRequest:
    """A token for the client itself.

    Raises:
        InvalidInput: A placeholder has no fitting value; the field is `properties.` and its name.
    """
    params = {"grant_type": "client_credentials", **_scope(asker), **_own_params(rules, asker)}
    return token_request(rules, token_endpoint(rules, asker.client.id, asker.properties), params, asker.client)


def unsigned_grant(
    rules: OAuth2Rules, machine: MachineCredentials, asker: Asker, *, jti: str, now: datetime
) -> UnsignedAssertion:
    """The assertion that is the grant, before it is signed. What the account says of itself outranks its source.

    Raises:
        InvalidInput: Nobody says who issues it, or a placeholder of a claim has no fitting value; the field names it.
    """
    issuer = machine.issuer or asker.client.id
    if not issuer:
        raise InvalidInput("credentials.issuer", "is required: the source has no client_id")
    issued_at = int(now.timestamp())
    claims: dict[str, str | int] = {
        "iss": issuer,
        "aud": machine.audience or rules.assertion.audience or token_endpoint(rules, asker.client.id, asker.properties),
        "jti": jti,
        "iat": issued_at,
        "exp": issued_at + int(rules.grant_assertion.life.total_seconds()),
    }
    if machine.subject is not None:
        claims["sub"] = machine.subject
    for name, template in rules.grant_assertion.claims.items():
        said = filled(rules, template, asker.properties, asker.own())
        if said:
            claims[name] = said
    return UnsignedAssertion(claims, rules.assertion.algorithm, machine.key_id or rules.assertion.key_id)


def jwt_bearer_request(rules: OAuth2Rules, asker: Asker, assertion: Secret) -> TokenRequest:
    """The exchange of a signed assertion for a token.

    Raises:
        InvalidInput: A placeholder has no fitting value; the field is `properties.` and its name.
    """
    url = token_endpoint(rules, asker.client.id, asker.properties)
    own = _own_params(rules, asker)
    if rules.grant_assertion.placement is AssertionPlacement.BEARER:
        # Who asks is in the assertion: a client of its own would want the same header.
        return token_request(rules, url, own, Client(""), authorization=f"Bearer {assertion.reveal()}")
    # Where a claim tells the scope, it would say the same thing twice.
    scope = {} if "scope" in rules.grant_assertion.claims else _scope(asker)
    params = {"grant_type": _JWT_BEARER, "assertion": assertion.reveal(), **scope, **own}
    shown = Client("") if rules.client_auth is ClientAuth.NONE else asker.client
    return token_request(rules, url, params, shown)


def _scope(asker: Asker) -> dict[str, str]:
    return {"scope": asker.scope} if asker.scope else {}


def _own_params(rules: OAuth2Rules, asker: Asker) -> dict[str, str]:
    return {
        name: filled(rules, value, asker.properties, asker.own()) for name, value in rules.token_params.items() if value
    }
