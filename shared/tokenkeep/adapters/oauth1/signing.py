"""Requests signed with Authlib's parts.

Its client itself is not used: it refuses addresses without TLS, which are the caller's affair here, leaves a parameter named
`realm` out of the signature, and puts what it can't read into its errors.
"""

import binascii
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from authlib.oauth1.rfc5849.parameters import prepare_headers
from authlib.oauth1.rfc5849.signature import (
    hmac_sha1_signature,
    normalize_base_string_uri,
    normalize_parameters,
    plaintext_signature,
)
from authlib.oauth1.rfc5849.util import escape
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1

from tokenkeep.adapters.client_keys.private_keys import FIELD, read_pem_key
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_authentication import ClientKey
from tokenkeep.providers.oauth1 import RSA_SHA1, SignatureOrder

_NO_KEY: Final = "expected a PEM private key, of RSA"
_LEAST_RSA_BITS: Final = 1024


class AuthlibSigner:
    """Signs requests. Keys that were read are kept, for to read one takes far longer than to sign with it.

    Args:
        cached_keys: How many are kept; the longest unused goes first.
        version: What goes into `oauth_version`, which may be left out (RFC 5849, section 3.1) and hardly ever is.
    """

    def __init__(self, *, cached_keys: int = 256, version: str | None = "1.0") -> None:
        self._version = version
        self._rsa_key = lru_cache(maxsize=cached_keys)(_rsa_key)

    def check(self, method: str, consumer_secret: Secret) -> None:
        """See that a consumer's secret serves for the method.

        Raises:
            InvalidInput: RSA-SHA1 wants a private key, and there is none; the field is `client_secret`.
        """
        if method == RSA_SHA1:
            self._rsa_key(ClientKey.of(consumer_secret))

    def sign(self, order: SignatureOrder, *, nonce: str, timestamp: int) -> Mapping[str, str]:
        """The header that the request needs.

        Raises:
            InvalidInput: The consumer's secret is no key that the method can sign with; the field is `client_secret`.
        """
        protocol = [
            ("oauth_consumer_key", order.consumer_key),
            *([] if order.token is None else [("oauth_token", order.token.reveal())]),
            ("oauth_signature_method", order.signature_method),
            ("oauth_timestamp", str(timestamp)),
            ("oauth_nonce", nonce),
            *((name, value.reveal()) for name, value in order.further.items()),
        ]
        if self._version is not None:
            protocol.append(("oauth_version", self._version))
        signature = self._signature(_base_string(order, protocol), order)
        headers: Mapping[str, str] = prepare_headers(
            [*protocol, ("oauth_signature", signature)], realm=order.request.realm
        )
        return headers

    def _signature(self, base: str, order: SignatureOrder) -> str:
        """RFC 5849, sections 3.4.2 to 3.4.4. HMAC-SHA256 is HMAC-SHA1 with the other digest, as the providers have it."""
        secrets = (order.consumer_secret.reveal(), order.token_secret.reveal())
        match order.signature_method:
            case "HMAC-SHA1":
                return str(hmac_sha1_signature(base, *secrets))
            case "HMAC-SHA256":
                shared = "&".join(escape(secret) for secret in secrets)
                return _base64(hmac.new(shared.encode(), base.encode(), hashlib.sha256).digest())
            case "PLAINTEXT":
                return str(plaintext_signature(*secrets))
            case method:
                assert method == RSA_SHA1, "the field's kind says which methods there are"  # noqa: S101
                key = self._rsa_key(ClientKey.of(order.consumer_secret))
                return _base64(key.sign(base.encode(), PKCS1v15(), SHA1()))  # noqa: S303 - the method's own digest


def _base_string(order: SignatureOrder, protocol: list[tuple[str, str]]) -> str:
    """RFC 5849, section 3.4.1.1."""
    request = order.request
    parameters = normalize_parameters([*request.parameters, *protocol])
    return "&".join(escape(part) for part in (request.method, normalize_base_string_uri(request.url), parameters))


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def _rsa_key(consumer_key: ClientKey) -> RSAPrivateKey:
    key = read_pem_key(consumer_key.text, otherwise=_NO_KEY)
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_RSA_BITS:
        raise InvalidInput(FIELD, _NO_KEY)
    return key
