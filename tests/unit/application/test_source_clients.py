"""How a source's client comes to prove itself, and what is said of a secret that can't."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from assertion_check import AssertionCheck
from certificates import make_authority
from source_clients import pem, rsa_key, source_clients
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.sealing import CLIENT_SECRET
from tokenkeep.domain.errors import InvalidInput, VaultError
from tokenkeep.domain.ids import SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_authentication import Assertion, BasicSecret, ClientKey, PostedSecret, Proof
from tokenkeep.providers.entry import Property
from tokenkeep.providers.rules import AssertionRules, ClientAuth, OAuth2Rules
from tokenkeep.providers.token_request import refresh_request

VAULT = Vault(Keyring.generate())
CLIENTS = source_clients(VAULT)
URL = "https://{tenant}.provider.test/token/{client_id}"
TENANT = Property("tenant", "[a-z]+", "Tenant")
P256 = ec.generate_private_key(ec.SECP256R1())
KEY = pem(P256)
AUTHORITY = make_authority(Path())
CERTIFIED = AUTHORITY.client("client")
WEAK = AUTHORITY.client("client", rsa_key(1024))
NOT_CERTIFIED = "expected one PEM text with a private key and its certificate, the certificate's issuers after it"


def rules(method: ClientAuth, **changes: Any) -> OAuth2Rules:
    return OAuth2Rules(URL, "https://provider.test/refresh", client_auth=method, placeholders=(TENANT,), **changes)


def source(secret: str | None) -> SourceConfig:
    source_id = SourceId(new_id())
    key = VAULT.new_data_key(source_id)
    sealed = None if secret is None else VAULT.seal(source_id, key, CLIENT_SECRET, (1, 0), secret.encode())
    return SourceConfig(source_id, "default", "acme", "client", key, sealed, 1, {}, paused=False)


@pytest.mark.parametrize(
    ("method", "secret", "proof"),
    [
        (ClientAuth.BASIC, "shh", BasicSecret(Secret("shh"))),
        (ClientAuth.BASIC, None, None),
        (ClientAuth.POST, "shh", PostedSecret(Secret("shh"))),
        (ClientAuth.POST, None, None),
        (ClientAuth.NONE, "shh", None),
        (ClientAuth.NONE, None, None),
    ],
)
def test_a_secret_is_shown_where_the_method_says(method: ClientAuth, secret: str | None, proof: Proof) -> None:
    client = CLIENTS(source(secret), rules(method), {})
    assert (client.id, client.proof) == ("client", proof)
    assert client.sent_secret == (None if proof is None else Secret("shh"))


@pytest.mark.parametrize("method", [ClientAuth.TLS, ClientAuth.SELF_SIGNED_TLS])
def test_a_client_with_a_certificate_writes_nothing_of_it_into_requests(method: ClientAuth) -> None:
    client = CLIENTS(source(CERTIFIED), rules(method), {})
    assert client.key == ClientKey.of(Secret(CERTIFIED))
    assert client.sent_secret is None
    request = refresh_request(rules(method), client=client, refresh_token=Secret("rt"), properties={})
    assert request.body.reveal() == "grant_type=refresh_token&refresh_token=rt&client_id=client"
    assert "authorization" not in request.headers
    assert request.client_key == client.key


def test_an_assertion_is_for_the_token_endpoint_of_the_account_and_never_the_same_twice() -> None:
    server = AssertionCheck(ECKey.import_key(P256.public_key()), audience="https://acme.provider.test/token/client")
    for _ in range(2):
        client = CLIENTS(source(KEY), rules(ClientAuth.PRIVATE_KEY_JWT), {"tenant": "acme"})
        assert isinstance(client.proof, Assertion)
        assert client.sent_secret is client.proof.jwt
        assert server.accept(client.proof.jwt)["sub"] == "client"


def test_an_audience_that_was_chosen_needs_no_property() -> None:
    chosen = rules(ClientAuth.PRIVATE_KEY_JWT, assertion=AssertionRules(audience="https://issuer.test"))
    client = CLIENTS(source(KEY), chosen, {})
    assert isinstance(client.proof, Assertion)
    AssertionCheck(ECKey.import_key(P256.public_key()), audience="https://issuer.test").accept(client.proof.jwt)
    with pytest.raises(InvalidInput) as refused:
        CLIENTS(source(KEY), rules(ClientAuth.PRIVATE_KEY_JWT), {})
    assert refused.value.field == "properties.tenant"


def test_a_secret_that_was_sealed_for_another_version_does_not_open() -> None:
    with pytest.raises(VaultError):
        CLIENTS(replace(source("shh"), secret_version=2), rules(ClientAuth.BASIC), {})


@pytest.mark.parametrize(
    ("method", "secret"),
    [
        (ClientAuth.BASIC, "s h \u00e9"),
        (ClientAuth.BASIC, None),
        (ClientAuth.NONE, None),
        (ClientAuth.SECRET_JWT, "short"),
        (ClientAuth.PRIVATE_KEY_JWT, KEY),
        (ClientAuth.TLS, CERTIFIED),
        (ClientAuth.SELF_SIGNED_TLS, CERTIFIED),
    ],
)
def test_a_secret_that_serves_passes_the_rehearsal(method: ClientAuth, secret: str | None) -> None:
    CLIENTS.check(rules(method), "client", None if secret is None else Secret(secret))


@pytest.mark.parametrize(
    ("method", "secret", "complaint"),
    [
        (ClientAuth.BASIC, KEY, "expected a text without control characters"),
        (ClientAuth.POST, "two\nlines", "expected a text without control characters"),
        (ClientAuth.NONE, "\ud800", "expected a text without control characters"),
        (ClientAuth.SECRET_JWT, KEY, "expected a text without control characters"),
        (ClientAuth.SECRET_JWT, None, "client_secret_jwt needs one"),
        (ClientAuth.PRIVATE_KEY_JWT, None, "private_key_jwt needs one"),
        (ClientAuth.PRIVATE_KEY_JWT, "canary", "expected a PEM private key or a private JWK"),
        (ClientAuth.TLS, None, "tls_client_auth needs one"),
        (ClientAuth.SELF_SIGNED_TLS, None, "self_signed_tls_client_auth needs one"),
        (ClientAuth.TLS, "canary", NOT_CERTIFIED),
        (ClientAuth.TLS, KEY, NOT_CERTIFIED),
        (ClientAuth.TLS, CERTIFIED[CERTIFIED.index("-----BEGIN CERT") :], NOT_CERTIFIED),
        (
            ClientAuth.TLS,
            KEY + CERTIFIED[CERTIFIED.index("-----BEGIN CERT") :],
            "the first certificate is not the private key's",
        ),
        (ClientAuth.TLS, WEAK, "TLS does not take this key and certificate: EE_KEY_TOO_SMALL"),
    ],
)
def test_a_secret_that_does_not_serve_is_refused_and_not_quoted(
    method: ClientAuth, secret: str | None, complaint: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        CLIENTS.check(rules(method), "client", None if secret is None else Secret(secret))
    assert (refused.value.field, refused.value.detail) == ("client_secret", complaint)
