"""What TLS connections are made with: the trust that all share, and the certificate of a client that proves itself by one."""

import ssl
from collections.abc import Callable
from functools import cache, lru_cache
from secrets import token_bytes
from tempfile import NamedTemporaryFile
from typing import Final

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tokenkeep.adapters.client_keys.private_keys import FIELD, read_certificates, read_pem_key
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.client_authentication import ClientKey

_EXPECTED: Final = "expected one PEM text with a private key and its certificate, the certificate's issuers after it"


class TlsContexts:
    """Contexts that verify the server's certificate and name: nothing switches that off.

    Args:
        trusting: Makes a context; if left out, one that trusts the system's store, of which a process has one for all
            connections without a certificate.
        cached: How many contexts with certificates are kept, the longest unused going first. Each holds the whole trust
            store, which takes some hundred kilobytes, and tens of milliseconds to read.
    """

    def __init__(self, trusting: Callable[[], ssl.SSLContext] | None = None, *, cached: int = 64) -> None:
        self._trusting = trusting or ssl.create_default_context
        self.without_certificate = trusting() if trusting else trusting_the_system()
        self.with_certificate = lru_cache(maxsize=cached)(self._with_certificate)

    def _with_certificate(self, key: ClientKey) -> ssl.SSLContext:
        """The context for connections as this client. Raises `InvalidInput` when the key does not serve."""
        context = self._trusting()
        _load(context, key)
        return context

    def check(self, key: ClientKey) -> None:
        """Whether a client can prove itself in a handshake with this.

        Raises:
            InvalidInput: A key or a certificate is missing, or they don't belong together; the field is `client_secret`.
        """
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), key)


@cache
def trusting_the_system() -> ssl.SSLContext:
    """The context of this process that trusts the system's store, for all connections without a certificate."""
    return ssl.create_default_context()


def _load(context: ssl.SSLContext, key: ClientKey) -> None:
    """Gives the context the client's key and certificates.

    `ssl` takes them from a file only. So the key is encrypted for the moment that the file is there, under a password that
    never leaves this function: neither a copy of the disk nor a process that dies here leaves a key behind. Besides, the
    file can be read by our own user alone.
    """
    private = read_pem_key(key.text, otherwise=_EXPECTED)
    chain = read_certificates(key.text, private, otherwise=_EXPECTED)
    password = token_bytes(32).hex().encode()
    with NamedTemporaryFile(prefix="tokenkeep-") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))
        file.writelines(certificate.public_bytes(Encoding.PEM) for certificate in chain)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except ssl.SSLError as fault:
            raise InvalidInput(FIELD, f"TLS does not take this key and certificate: {fault.reason}") from None
