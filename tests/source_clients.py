"""Clients of sources, as the processes wire them, and keys for them."""

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.adapters.oauth1.signing import AuthlibSigner
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.application.ports import Vault
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.bootstrap import wall_clock

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


SIGNER = AuthlibSigner()


def source_clients(vault: Vault) -> SourceClients:
    return SourceClients(vault, JoseAssertions(), TlsContexts(), wall_clock)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
