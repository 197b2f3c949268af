"""Private keys as they are given: in PEM (PKCS#8, PKCS#1, SEC 1), or as a JWK (RFC 7517)."""

from dataclasses import dataclass
from typing import Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret

FIELD: Final = "client_secret"
"""Where a key is given, for every complaint about one. No complaint quotes it."""

_ONE_OF_BOTH: Final = "expected a PEM private key or a private JWK"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A private key, with the `alg` and the `kid` of a JWK."""

    private: PrivateKeyTypes
    algorithm: str | None = None
    key_id: str | None = None


def read_private_key(text: Secret) -> GivenKey:
    """The key in a text.

    Raises:
        InvalidInput: There is none, or it has a passphrase.
    """
    if text.reveal().lstrip().startswith("{"):
        return _from_jwk(text)
    return GivenKey(read_pem_key(text, otherwise=_ONE_OF_BOTH))


def read_pem_key(text: Secret, *, otherwise: str) -> PrivateKeyTypes:
    """The private key in a PEM text; what else stands there, such as its certificate, is passed over.

    Raises:
        InvalidInput: There is none (`otherwise` says what was expected), or it has a passphrase.
    """
    try:
        return load_pem_private_key(text.reveal().encode(), password=None)
    except TypeError:  # what the library says of a passphrase that is missing
        raise InvalidInput(FIELD, "the private key has a passphrase: give it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(FIELD, otherwise) from None


def _from_jwk(text: Secret) -> GivenKey:
    try:
        key = import_key(orjson.loads(text.reveal()))
    except (JoseError, ValueError, KeyError, TypeError):  # the last two: an unknown curve, a `kty` that is no text
        raise InvalidInput(FIELD, _ONE_OF_BOTH) from None
    if key.private_key is None or isinstance(key.private_key, bytes):  # a public key; a secret
        raise InvalidInput(FIELD, _ONE_OF_BOTH)
    return GivenKey(key.private_key, key.alg, key.kid)
