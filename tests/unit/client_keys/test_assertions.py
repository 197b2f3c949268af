"""Assertions, as the library on a server's side reads them."""

import base64
import hashlib
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import InvalidClientError
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from assertion_check import AssertionCheck
from certificates import make_authority
from source_clients import PrivateKey, pem, rsa_key
from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.bootstrap import wall_clock
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_assertion import UnsignedAssertion, unsigned_assertion
from tokenkeep.providers.client_authentication import ClientKey
from tokenkeep.providers.rules import AssertionRules, ClientAuth, OAuth2Rules

AUDIENCE = "https://provider.test/token"
RSA = rsa_key()
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def unsigned(
    method: ClientAuth = ClientAuth.PRIVATE_KEY_JWT, algorithm: str | None = None, key_id: str | None = None
) -> UnsignedAssertion:
    rules = OAuth2Rules(AUDIENCE, AUDIENCE, client_auth=method, assertion=AssertionRules(algorithm, key_id))
    return unsigned_assertion(rules, "client", audience=AUDIENCE, jti="j1", now=wall_clock())


def signed(key: str, algorithm: str | None = None, key_id: str | None = None) -> Secret:
    assertion = unsigned(algorithm=algorithm, key_id=key_id)
    return JoseAssertions().sign_with_key(assertion, ClientKey.of(Secret(key)))


def header_of(assertion: Secret) -> dict[str, Any]:
    return dict(jws.extract_compact(assertion.reveal().encode()).headers())


@pytest.mark.parametrize(
    ("key", "public"),
    [
        pytest.param(pem(RSA), RSAKey.import_key(RSA.public_key()), id="RSA, PKCS#8"),
        pytest.param(pem(RSA, PrivateFormat.TraditionalOpenSSL), RSAKey.import_key(RSA.public_key()), id="RSA, PKCS#1"),
        pytest.param(pem(P256), ECKey.import_key(P256.public_key()), id="P-256, PKCS#8"),
        pytest.param(
            pem(P256, PrivateFormat.TraditionalOpenSSL), ECKey.import_key(P256.public_key()), id="P-256, SEC 1"
        ),
    ],
)
def test_a_server_takes_what_a_private_key_has_signed_once(key: str, public: RSAKey | ECKey) -> None:
    server = AssertionCheck(public, audience=AUDIENCE)
    assertion = signed(key)
    claims = server.accept(assertion)
    assert (claims["iss"], claims["sub"], claims["aud"], claims["jti"]) == ("client", "client", AUDIENCE, "j1")
    with pytest.raises(InvalidClientError, match="used before"):
        server.accept(assertion)


def test_a_server_takes_a_mac_under_the_clients_secret() -> None:
    secret = "a secret of some length, as servers give them"
    assertion = JoseAssertions().sign_with_secret(unsigned(method=ClientAuth.SECRET_JWT), Secret(secret))
    AssertionCheck(OctKey.import_key(secret), audience=AUDIENCE).accept(assertion)
    assert header_of(assertion) == {"typ": "JWT", "alg": "HS256"}


def test_a_server_refuses_what_another_key_has_signed_or_what_is_for_another_server() -> None:
    assertion = signed(pem(RSA))
    with pytest.raises(InvalidClientError):
        AssertionCheck(RSAKey.import_key(rsa_key().public_key()), audience=AUDIENCE).accept(assertion)
    with pytest.raises(InvalidClientError):
        AssertionCheck(RSAKey.import_key(RSA.public_key()), audience="https://other.test").accept(assertion)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    ("key", "public", "chosen", "used"),
    [
        (RSA, RSAKey.import_key(RSA.public_key()), None, "RS256"),
        (RSA, RSAKey.import_key(RSA.public_key()), "RS512", "RS512"),
        (RSA, RSAKey.import_key(RSA.public_key()), "PS256", "PS256"),
        (P256, ECKey.import_key(P256.public_key()), None, "ES256"),
        (P384, ECKey.import_key(P384.public_key()), None, "ES384"),
        (P521, ECKey.import_key(P521.public_key()), None, "ES512"),
        (ED25519, OKPKey.import_key(ED25519.public_key()), None, "EdDSA"),
        (ED25519, OKPKey.import_key(ED25519.public_key()), "Ed25519", "Ed25519"),
    ],
)
def test_the_algorithm_is_the_chosen_one_or_the_keys_usual_one(
    key: PrivateKey, public: Key, chosen: str | None, used: str
) -> None:
    assertion = signed(pem(key), algorithm=chosen)
    assert header_of(assertion) == {"typ": "JWT", "alg": used}
    assert jwt.decode(assertion.reveal(), public, algorithms=[used]).claims["sub"] == "client"


def test_a_jwk_tells_its_id_and_its_algorithm_and_the_options_outrank_both() -> None:
    document = {**RSAKey.import_key(RSA).as_dict(private=True), "kid": "k1", "alg": "PS256", "use": "sig"}
    key = f"\n {json.dumps(document)}"
    assert header_of(signed(key)) == {"typ": "JWT", "alg": "PS256", "kid": "k1"}
    outranked = signed(key, algorithm="RS256", key_id="k2")
    assert header_of(outranked) == {"typ": "JWT", "alg": "RS256", "kid": "k2"}
    AssertionCheck(RSAKey.import_key(RSA.public_key()), audience=AUDIENCE).accept(outranked)


def test_a_certificate_beside_the_key_is_named_by_its_thumbprint() -> None:
    certified = make_authority(Path()).client("client", P256)
    assertion = signed(certified)
    der = ssl.PEM_cert_to_DER_cert(certified[certified.index(CERTIFICATE) :])
    digest = hashlib.sha256(der).digest()
    thumbprint = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert header_of(assertion) == {"typ": "JWT", "alg": "ES256", "x5t#S256": thumbprint}
    AssertionCheck(ECKey.import_key(P256.public_key()), audience=AUDIENCE).accept(assertion)


def jwk(**changes: object) -> str:
    return json.dumps({**ECKey.import_key(P256).as_dict(private=True), **changes})


ENCRYPTED = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")).decode()
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
UNKNOWN = "expected a PEM private key or a private JWK"
UNFIT = "expected an RSA key of at least 2048 bits, or one on P-256, P-384, P-521 or Ed25519"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("canary", UNKNOWN),
        ("\ud800", UNKNOWN),
        (pem(P256).replace("PRIVATE", "PUBLIC"), UNKNOWN),
        (pem(P256)[:-80], UNKNOWN),
        (ENCRYPTED, "the private key has a passphrase: give it without one"),
        (pem(P256) + CERTIFICATE, UNKNOWN),
        (
            make_authority(Path()).client("client", P384).replace(pem(P384), pem(P256)),
            "the first certificate is not the private key's",
        ),
        (pem(rsa_key(1024)), UNFIT),
        (pem(ec.generate_private_key(ec.SECP256K1())), UNFIT),
        (pem(ed448.Ed448PrivateKey.generate()), UNFIT),
        ("{canary", UNKNOWN),
        ('{"a":' * 5_000, UNKNOWN),
        ('{"\ud800": 1}', UNKNOWN),
        ("{}", UNKNOWN),
        (jwk(kty="canary"), UNKNOWN),
        (jwk(kty={}), UNKNOWN),
        (jwk(kid=7), UNKNOWN),
        (jwk(d="canary"), UNKNOWN),
        (jwk(crv="canary"), UNKNOWN),
        (jwk(alg="none"), "the JWK's alg is not one that its key signs with"),
        (jwk(alg="canary"), "the JWK's alg is not one that its key signs with"),
        (json.dumps(ECKey.import_key(P256).as_dict(private=False)), UNKNOWN),
        (json.dumps({"kty": "oct", "k": "Y2FuYXJ5LWNhbmFyeS1jYW5hcnk"}), UNKNOWN),
    ],
)
def test_what_is_no_key_for_signing_is_refused_and_not_quoted(key: str, complaint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        signed(key)
    assert (refused.value.field, refused.value.detail) == ("client_secret", complaint)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "ES256"), (P256, "RS256"), (P256, "ES384"), (ED25519, "ES256")])
def test_a_key_does_not_sign_with_another_keys_algorithm(key: PrivateKey, algorithm: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        signed(pem(key), algorithm=algorithm)
    assert refused.value.detail == f"this key does not sign with {algorithm}"


def test_no_more_keys_are_kept_than_wanted_and_no_table_tells_one() -> None:
    assertions = JoseAssertions(cached_keys=1)
    for key in (P256, P384, P256):
        assertions.sign_with_key(unsigned(), ClientKey.of(Secret(pem(key))))
    known = assertions._signing_key.cache_info()
    assert (known.currsize, known.misses) == (1, 3)
    assertions.sign_with_key(unsigned(), ClientKey.of(Secret(pem(P256))))
    assert assertions._signing_key.cache_info().hits == 1
    assert repr(ClientKey.of(Secret(pem(P256)))) == "ClientKey(text=Secret(***))"
