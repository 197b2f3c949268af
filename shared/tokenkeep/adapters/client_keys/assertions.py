"""Assertions signed with joserfc."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate
from joserfc import jwt
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tokenkeep.adapters.client_keys.private_keys import FIELD, read_private_key
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_assertion import UnsignedAssertion
from tokenkeep.providers.client_authentication import ClientKey

_LEAST_RSA_BITS: Final = 2048  # RFC 7518, section 3.3
# What a key signs with (RFC 7518, section 3.1; RFC 8037, section 3.1; RFC 9864), the usual algorithm first.
_BY_SECRET: Final = ("HS256", "HS384", "HS512")
_BY_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Final[Mapping[str, tuple[str, ...]]] = {
    "secp256r1": ("ES256",),
    "secp384r1": ("ES384",),
    "secp521r1": ("ES512",),
}
_BY_ED25519: Final = ("EdDSA", "Ed25519")


class _AllAlgorithms(JWSRegistry):
    """Gives EdDSA under that name, which servers know, without the warning that RFC 9864 has a new one for it."""

    def get_alg(self, name: str) -> JWSAlgModel:
        """The algorithm of this name, which is one of those above."""
        return self.algorithms[name]


_REGISTRY: Final = _AllAlgorithms()


@dataclass(frozen=True, slots=True)
class _SigningKey:
    """A key that is ready to sign, what it signs with, and what it says of itself."""

    key: Key
    serves: tuple[str, ...]
    algorithm: str | None = None
    key_id: str | None = None
    thumbprint: str | None = None


class JoseAssertions:
    """Signs assertions. Keys that were read are kept, for to read an RSA key takes a hundred times as long as to sign with it.

    Args:
        cached_keys: How many are kept; the longest unused goes first.
    """

    def __init__(self, *, cached_keys: int = 256) -> None:
        self._signing_key = lru_cache(maxsize=cached_keys)(_signing_key)

    def sign_with_secret(self, assertion: UnsignedAssertion, secret: Secret) -> Secret:
        """The assertion with a MAC; its key is the secret's text."""
        raw = secret.reveal().encode()
        return _signed(assertion, _SigningKey(OctKey(raw, raw), _BY_SECRET))

    def sign_with_key(self, assertion: UnsignedAssertion, key: ClientKey) -> Secret:
        """The assertion with a signature.

        Raises:
            InvalidInput: The key can't be read, or is not one for the algorithm; the field is `client_secret`.
        """
        return _signed(assertion, self._signing_key(key))


def _signed(assertion: UnsignedAssertion, signing: _SigningKey) -> Secret:
    algorithm = assertion.algorithm or signing.algorithm or signing.serves[0]
    if algorithm not in signing.serves:
        raise InvalidInput(FIELD, f"this key does not sign with {algorithm}")
    key_id = assertion.key_id or signing.key_id
    named = {"alg": algorithm, "kid": key_id, "x5t#S256": signing.thumbprint}
    header = {name: value for name, value in named.items() if value is not None}
    return Secret(jwt.encode(header, dict(assertion.claims), signing.key, registry=_REGISTRY))


def _signing_key(key: ClientKey) -> _SigningKey:
    given = read_private_key(key.text)
    wrapped, serves = _wrapped(given.private)
    if given.algorithm is not None and given.algorithm not in serves:
        raise InvalidInput(FIELD, "the JWK's alg is not one that its key signs with")
    thumbprint = None if given.certificate is None else _thumbprint(given.certificate)
    return _SigningKey(wrapped, serves, given.algorithm, given.key_id, thumbprint)


def _thumbprint(certificate: Certificate) -> str:
    """How some servers look the key up (RFC 7515, section 4.1.8)."""
    return urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()


def _wrapped(private: PrivateKeyTypes) -> tuple[Key, tuple[str, ...]]:
    """The key as joserfc takes it, and what it signs with."""
    match private:
        case RSAPrivateKey() if private.key_size >= _LEAST_RSA_BITS:
            return RSAKey(private, private), _BY_RSA
        case EllipticCurvePrivateKey() if private.curve.name in _BY_CURVE:
            return ECKey(private, private), _BY_CURVE[private.curve.name]
        case Ed25519PrivateKey():
            return OKPKey(private, private), _BY_ED25519
        case _:
            raise InvalidInput(
                FIELD,
                f"expected an RSA key of at least {_LEAST_RSA_BITS} bits, or one on P-256, P-384, P-521 or Ed25519",
            )
