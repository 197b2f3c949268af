"""The clients of sources, as their token endpoints are shown them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from tokenkeep.application.ports import ClientAssertions, ClientCertificates, Vault
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.sealing import CLIENT_SECRET
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_assertion import UnsignedAssertion, unsigned_assertion
from tokenkeep.providers.client_authentication import (
    Assertion,
    BasicSecret,
    Client,
    ClientKey,
    PostedSecret,
    Proof,
    check_plain_secret,
)
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules
from tokenkeep.providers.token_request import token_endpoint

_BY_TEXT = frozenset({ClientAuth.BASIC, ClientAuth.POST, ClientAuth.NONE, ClientAuth.SECRET_JWT})


@dataclass(frozen=True, slots=True)
class SourceClients:
    """Opens what a source's client proves itself with, and signs with it where it is a key.

    `now` is this process's clock: an assertion is read within seconds, by another clock than ours or the database's.
    """

    vault: Vault
    assertions: ClientAssertions
    certificates: ClientCertificates
    now: Callable[[], datetime]

    def __call__(self, source: SourceConfig, rules: OAuth2Rules, properties: Mapping[str, Any]) -> Client:
        """The client, ready for one request.

        An assertion is for the token endpoint, wherever the request goes, unless the rules name another audience.

        Raises:
            VaultError: The secret does not open.
            InvalidInput: It does not serve for the method, or the token endpoint's address needs a property.
        """
        return self.client(rules, source.client_id or "", self.secret_of(source), properties)

    def client(
        self, rules: OAuth2Rules, client_id: str, secret: Secret | None, properties: Mapping[str, Any]
    ) -> Client:
        """A client of this id and this secret, ready for one request. Raises `InvalidInput` as `__call__` does."""
        return Client(client_id, self._proof(rules, client_id, secret, properties))

    def secret_of(self, source: SourceConfig) -> Secret | None:
        """The client secret as it was given. Raises `VaultError` when it does not open."""
        if source.client_secret_ciphertext is None:
            return None
        plain = self.vault.open(
            source.id, source.sealed_key, CLIENT_SECRET, (source.secret_version, 0), source.client_secret_ciphertext
        )
        return Secret(plain.decode())

    def check(self, rules: OAuth2Rules, client_id: str, secret: Secret | None) -> None:
        """A rehearsal, before the secret is stored: every request with it would fail if this does.

        Raises:
            InvalidInput: The secret is missing or does not serve for the method; the field is `client_secret`. Or the
                algorithm does not fit the method.
        """
        if secret is not None and rules.client_auth in _BY_TEXT:
            check_plain_secret(secret)
        to_nobody = replace(rules, assertion=replace(rules.assertion, audience="nobody"))
        proof = self._proof(to_nobody, client_id, secret, {})
        if isinstance(proof, ClientKey):
            self.certificates.check(proof)

    def _proof(self, rules: OAuth2Rules, client_id: str, secret: Secret | None, properties: Mapping[str, Any]) -> Proof:
        match rules.client_auth:
            case ClientAuth.NONE:
                return None
            case ClientAuth.BASIC:
                return None if secret is None else BasicSecret(secret)
            case ClientAuth.POST:
                return None if secret is None else PostedSecret(secret)
            case ClientAuth.SECRET_JWT:
                unsigned = self._unsigned(rules, client_id, properties)
                return Assertion(self.assertions.sign_with_secret(unsigned, _given(secret, rules)))
            case ClientAuth.PRIVATE_KEY_JWT:
                unsigned = self._unsigned(rules, client_id, properties)
                return Assertion(self.assertions.sign_with_key(unsigned, ClientKey.of(_given(secret, rules))))
            case ClientAuth.TLS | ClientAuth.SELF_SIGNED_TLS:
                return ClientKey.of(_given(secret, rules))
            case _:
                assert_never(rules.client_auth)

    def _unsigned(self, rules: OAuth2Rules, client_id: str, properties: Mapping[str, Any]) -> UnsignedAssertion:
        audience = rules.assertion.audience or token_endpoint(rules, client_id, properties)
        return unsigned_assertion(rules, client_id, audience=audience, jti=new_id().hex, now=self.now())


def _given(secret: Secret | None, rules: OAuth2Rules) -> Secret:
    if secret is None:
        raise InvalidInput("client_secret", f"{rules.client_auth.value} needs one")
    return secret
