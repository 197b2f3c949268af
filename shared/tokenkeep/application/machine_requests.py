"""The requests of machines for tokens, with all that proves who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.client_authentication import Client, ClientKey
from tokenkeep.providers.entry import Grant
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.machine_grant import Asker, client_credentials_request, jwt_bearer_request, unsigned_grant
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules

_KEY = "credentials.private_key"


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """A request that is ready to leave once. `hidden` is what it holds that must not be seen.

    `alone`: nothing of the source's proves who asks, so a refusal of that is about the account and nobody else.
    """

    request: TokenRequest
    hidden: tuple[Secret, ...]
    alone: bool


@dataclass(frozen=True, slots=True)
class MachineRequests:
    """Makes them: by the account's own client, key and names where it has them, else by its source's."""

    clients: SourceClients

    def __call__(
        self, source: SourceConfig, rules: OAuth2Rules, machine: MachineCredentials, properties: Mapping[str, Any]
    ) -> MachineRequest:
        """The request.

        Raises:
            VaultError: The source's secret does not open.
            InvalidInput: Nobody has what it takes, or what there is does not serve; the field names it.
        """
        client = self._client(source, rules, machine, properties)
        scope = rules.scope_separator.join(source.scopes) if machine.scope is None else machine.scope
        asker = Asker(client, scope, properties)
        hidden = (*machine.secrets(), *(() if client.sent_secret is None else (client.sent_secret,)))
        if rules.grant is not Grant.JWT_BEARER:
            if not client.id:
                raise InvalidInput("credentials.client_id", "is required: the source has no client")
            return MachineRequest(client_credentials_request(rules, asker), hidden, machine.client_id is not None)
        assertion = self._signed(source, rules, machine, asker)
        issues_itself = machine.issuer is not None and machine.private_key is not None
        shows_itself = machine.client_id is not None or rules.client_auth is ClientAuth.NONE or not client.id
        request = jwt_bearer_request(rules, asker, assertion)
        return MachineRequest(request, (*hidden, assertion), issues_itself and shows_itself)

    def check(self, source: SourceConfig, rules: OAuth2Rules, machine: MachineCredentials) -> None:
        """A rehearsal for an account whose properties are still to come. Raises as `__call__` does, but of no property."""
        to_nobody = replace(
            rules,
            token_url="https://nobody.invalid/",  # noqa: S106 - an address
            token_params={},
            placeholders=(),
            grant_assertion=replace(rules.grant_assertion, claims={}),
        )
        self(source, to_nobody, machine, {})

    def _client(
        self, source: SourceConfig, rules: OAuth2Rules, machine: MachineCredentials, properties: Mapping[str, Any]
    ) -> Client:
        """A client of the account's own goes without anything of the source's: its secret belongs to another one."""
        if machine.client_id is not None:
            try:
                return self.clients.client(rules, machine.client_id, machine.client_secret, properties)
            except InvalidInput as fault:
                raise _within_credentials(fault) from None
        if source.client_id is None or rules.client_auth is ClientAuth.NONE:
            return Client(source.client_id or "")
        return self.clients(source, rules, properties)

    def _signed(self, source: SourceConfig, rules: OAuth2Rules, machine: MachineCredentials, asker: Asker) -> Secret:
        unsigned = unsigned_grant(rules, machine, asker, jti=new_id().hex, now=self.clients.now())
        if machine.private_key is not None:
            try:
                return self.clients.assertions.sign_with_key(unsigned, ClientKey.of(machine.private_key))
            except InvalidInput as fault:
                raise InvalidInput(_KEY, fault.detail) from None
        secret = self.clients.secret_of(source) if rules.client_auth in SIGNING else None
        if secret is None:
            raise InvalidInput(_KEY, "is required: the source has no key to sign with")
        return self.clients.assertions.sign_with_key(unsigned, ClientKey.of(secret))


SIGNING = frozenset({ClientAuth.NONE, ClientAuth.PRIVATE_KEY_JWT})
"""The methods with which a source's client secret may be the key that signs assertions; with others it is sent, or signs TLS."""


def _within_credentials(fault: InvalidInput) -> InvalidInput:
    inner = fault.field if fault.field.startswith("properties.") else f"credentials.{fault.field}"
    return InvalidInput(inner, fault.detail)
