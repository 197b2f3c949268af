"""What of a client a source needs by its kind, and whether it serves: every request with one that does not would fail."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokenkeep.application.machine_requests import SIGNING
from tokenkeep.application.ports import RequestSigner
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_authentication import check_plain_secret
from tokenkeep.providers.entry import Grant, Provider
from tokenkeep.providers.oauth1 import RSA_SHA1, signature_method
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules

_REQUIRED = "is required"


def check_client(
    clients: SourceClients,
    signer: RequestSigner,
    provider: Provider,
    options: Mapping[str, Any],
    *,
    client_id: str | None,
    secret: Secret | None,
) -> None:
    """A rehearsal, before a source is stored or changed.

    Raises:
        InvalidInput: The client is missing, does not serve or is not wanted, or the source's rules can't be worked out.
    """
    match provider.auth_type:
        case AuthType.OAUTH2:
            _check_oauth2(clients, provider, effective_rules(provider, options), client_id, secret)
        case AuthType.OAUTH1:
            _check_consumer(signer, signature_method(provider, options), client_id, secret)
        case AuthType.API_KEY | AuthType.BASIC | AuthType.BEARER | AuthType.CUSTOM:
            for name, given in (("client_id", client_id), ("client_secret", secret)):
                if given is not None:
                    raise InvalidInput(name, f"{provider.slug} knows no clients: its accounts bring all there is")


def _check_oauth2(
    clients: SourceClients, provider: Provider, rules: OAuth2Rules, client_id: str | None, secret: Secret | None
) -> None:
    if client_id is None:
        if not provider.grant.is_machines:
            raise InvalidInput("client_id", _REQUIRED)
        if secret is not None:
            raise InvalidInput("client_id", "is required beside client_secret")
        return
    if provider.grant is Grant.JWT_BEARER and rules.client_auth in SIGNING:
        if secret is not None:
            clients.check(replace(rules, client_auth=ClientAuth.PRIVATE_KEY_JWT), client_id, secret)
        return
    clients.check(rules, client_id, secret)


def _check_consumer(signer: RequestSigner, method: str, client_id: str | None, secret: Secret | None) -> None:
    for name, given in (("client_id", client_id), ("client_secret", secret)):
        if given is None:
            raise InvalidInput(name, _REQUIRED)
    assert secret is not None  # noqa: S101 - looked at above
    if method != RSA_SHA1:
        check_plain_secret(secret)
    signer.check(method, secret)
