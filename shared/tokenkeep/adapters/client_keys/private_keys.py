"""Private keys as they are given: in PEM (PKCS#8, PKCS#1, SEC 1), maybe with certificates, or as a JWK (RFC 7517)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret

FIELD: Final = "client_secret"
"""Where a key is given, for every complaint about one. No complaint quotes it."""

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_ONE_OF_BOTH: Final = "expected a PEM private key or a private JWK"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A private key, with the `alg` and the `kid` of a JWK, or the certificate that a PEM text holds beside it."""

    private: PrivateKeyTypes
    algorithm: str | None = None
    key_id: str | None = None
    certificate: Certificate | None = None


def read_private_key(text: Secret) -> GivenKey:
    """The key in a text.

    Raises:
        InvalidInput: There is none, it has a passphrase, or a certificate beside it is not its own.
    """
    if text.reveal().lstrip().startswith("{"):
        return _from_jwk(text)
    private = read_pem_key(text, otherwise=_ONE_OF_BOTH)
    if _CERTIFICATE not in text.reveal():
        return GivenKey(private)
    return GivenKey(private, certificate=read_certificates(text, private, otherwise=_ONE_OF_BOTH)[0])


def read_pem_key(text: Secret, *, otherwise: str) -> PrivateKeyTypes:
    """The private key in a PEM text; what else stands there is passed over.

    Raises:
        InvalidInput: There is none (`otherwise` says what was expected), or it has a passphrase.
    """
    try:
        return load_pem_private_key(text.reveal().encode(), password=None)
    except TypeError:  # what the library says of a passphrase that is missing
        raise InvalidInput(FIELD, "the private key has a passphrase: give it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(FIELD, otherwise) from None


def read_certificates(text: Secret, private: PrivateKeyTypes, *, otherwise: str) -> Sequence[Certificate]:
    """The certificates in a PEM text, the private key's own first.

    Raises:
        InvalidInput: There is none (`otherwise` says what was expected), or the first one is not the key's.
    """
    try:
        certificates = load_pem_x509_certificates(text.reveal().encode())
        certified = certificates[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(FIELD, otherwise) from None
    if certified != private.public_key():
        raise InvalidInput(FIELD, "the first certificate is not the private key's")
    return certificates


def _from_jwk(text: Secret) -> GivenKey:
    try:
        key = import_key(orjson.loads(text.reveal()))
    except (JoseError, ValueError, KeyError, TypeError):  # the last two: an unknown curve, a `kty` that is no text
        raise InvalidInput(FIELD, _ONE_OF_BOTH) from None
    if key.private_key is None or isinstance(key.private_key, bytes):  # a public key; a secret
        raise InvalidInput(FIELD, _ONE_OF_BOTH)
    return GivenKey(key.private_key, key.alg, key.kid)
