"""Certificates by an authority of our own, for servers and for clients."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from source_clients import PrivateKey, pem

LOOPBACK = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@dataclass(frozen=True)
class Authority:
    """Signs certificates. `directory` is where servers' keys are put, which `ssl` reads from files."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate

    def client(self, name: str, key: PrivateKey | None = None) -> str:
        """A client's private key and certificate, as one PEM text."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        return pem(key) + _pem(self._issue(_named(name), key))

    def server(self, *names: x509.GeneralName) -> ssl.SSLContext:
        """TLS for a server of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._issue(x509.Name([]), key, x509.SubjectAlternativeName(names))
        file = self.directory / "server.pem"
        file.write_text(pem(key) + _pem(leaf))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def mutual(self, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """TLS for a server on loopback that lets nobody in without a certificate of this authority's."""
        context = self.server(*LOOPBACK)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = newest
        context.load_verify_locations(cadata=_pem(self.root))
        return context

    def trust_store(self) -> Path:
        """A file that a host may trust."""
        file = self.directory / "trusted.pem"
        file.write_text(_pem(self.root))
        return file

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority."""
        return ssl.create_default_context(cadata=_pem(self.root))

    def _issue(
        self, subject: x509.Name, key: PrivateKey, names: x509.SubjectAlternativeName | None = None
    ) -> x509.Certificate:
        building = _builder(subject, self.root.subject, key)
        if names is not None:
            building = building.add_extension(names, critical=True)
        return building.sign(self.key, hashes.SHA256())


def make_authority(directory: Path) -> Authority:
    key, name = ec.generate_private_key(ec.SECP256R1()), _named("an authority for tests")
    building = _builder(name, name, key)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    return Authority(directory, key, building.add_extension(constraints, critical=True).sign(key, hashes.SHA256()))


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
