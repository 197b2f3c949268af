"""Signatures of OAuth 1.0a, against RFC 5849's own examples and a server's check."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import pytest
from authlib.oauth1.rfc5849.resource_protector import ResourceProtector
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from source_clients import pem, rsa_key
from tokenkeep.adapters.oauth1.signing import AuthlibSigner
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.oauth1 import Parameters, RequestToSign, SignatureOrder, request_to_sign

RSA = rsa_key()
RSA_PEM = pem(RSA)
CONSUMER, TOKEN = "consumer-key", "token/1+%2F"


def order(request: RequestToSign, method: str = "HMAC-SHA1", secret: str = "c&s %") -> SignatureOrder:
    return SignatureOrder(request, method, CONSUMER, Secret(secret), Secret(TOKEN), Secret("t&s %"))


def parameters_of(header: str) -> dict[str, str]:
    scheme, _, rest = header.partition(" ")
    assert scheme == "OAuth"
    pairs = (part.partition("=") for part in rest.split(", "))
    return {name: unquote(value.strip('"')) for name, _, value in pairs}


def test_the_example_of_the_rfcs_introduction() -> None:
    """RFC 5849, section 1.2."""
    request = request_to_sign("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", None, "Photos")
    wanted = SignatureOrder(
        request,
        "HMAC-SHA1",
        "dpf43f3p2l4k3l03",
        Secret("kd94hf93k423kf44"),
        Secret("nnch734d00sl2jdk"),
        Secret("pfkkdhi9sl3r4s00"),
    )
    header = AuthlibSigner(version=None).sign(wanted, nonce="chapoH", timestamp=137131202)["Authorization"]
    assert header.startswith('OAuth realm="Photos", ')
    assert 'oauth_signature="MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D"' in header


def test_the_example_of_the_rfcs_base_string() -> None:
    """RFC 5849, section 3.4.1.1, with the signature that erratum 2550 corrects."""
    url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b"
    request = request_to_sign("post", url, "c2&a3=2+q", "Example")
    wanted = SignatureOrder(
        request,
        "HMAC-SHA1",
        "9djdj82h48djs9d2",
        Secret("j49sk3j29djd"),
        Secret("kkk9d7dh3k39sjv7"),
        Secret("dh893hdasih9"),
    )
    header = AuthlibSigner(version=None).sign(wanted, nonce="7d8f3e4a", timestamp=137131201)["Authorization"]
    assert parameters_of(header)["oauth_signature"] == "r6/TJjbCOr97/+UU0NsvSne7s5g="


@dataclass
class _Consumer:
    secret: str

    def get_client_secret(self) -> str:
        return self.secret

    def get_rsa_public_key(self) -> bytes:
        return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def get_oauth_token_secret(self) -> str:
        return "t&s %"


class _Server(ResourceProtector):  # type: ignore[misc]  # Authlib has no types
    SUPPORTED_SIGNATURE_METHODS = ("HMAC-SHA1", "RSA-SHA1", "PLAINTEXT")
    EXPIRY_TIME = 0

    def get_client_by_id(self, client_id: str) -> _Consumer | None:
        return _Consumer("c&s %") if client_id == CONSUMER else None

    def get_token_credential(self, _request: Any) -> _Consumer:
        return _Consumer("")

    def exists_nonce(self, _nonce: str, _request: Any) -> bool:
        return False


@pytest.mark.parametrize("method", ["HMAC-SHA1", "RSA-SHA1", "PLAINTEXT"])
@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://api.test/items", None),
        ("https://API.test:443/items?q=a%20b&q=a+b&empty=&%C3%BC=1", None),
        ("https://api.test:8443", {"a": "1 & 2", "list": ["b", "a"]}),
        ("https://api.test/items?z=1", "b=2&a=%2F"),
    ],
)
def test_a_server_takes_what_is_signed(method: str, url: str, form: str | dict[str, str | list[str]] | None) -> None:
    wanted = order(request_to_sign("POST", url, form, None), method, RSA_PEM if method == "RSA-SHA1" else "c&s %")
    # Authlib's server decodes an oauth_ parameter twice; a token without a percent sign is safe from that.
    wanted = replace(wanted, token=Secret("token-1"))
    headers = dict(AuthlibSigner().sign(wanted, nonce="n-1", timestamp=1_700_000_000))
    body = "" if form is None else form if isinstance(form, str) else _encoded(form)
    seen = _Server().validate_request("POST", url, body, headers)
    assert (seen.client_id, seen.token) == (CONSUMER, "token-1")


def _encoded(form: dict[str, str | list[str]]) -> str:
    pairs = [(k, v) for k, given in form.items() for v in ([given] if isinstance(given, str) else given)]
    return "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)


def base_string(method: str, url: str, parameters: Parameters) -> str:
    """Section 3.4.1 once more, by hand."""
    named = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in parameters)
    joined = "&".join(f"{k}={v}" for k, v in named)
    return "&".join(quote(part, safe="~") for part in (method, url, joined))


@pytest.mark.parametrize(("method", "digest"), [("HMAC-SHA1", hashlib.sha1), ("HMAC-SHA256", hashlib.sha256)])
def test_a_mac_is_over_everything_that_is_sent_even_a_parameter_named_realm(method: str, digest: Any) -> None:
    request = request_to_sign("GET", "https://api.test/x?realm=r&oauthlike=1", None, "acme")
    header = AuthlibSigner().sign(order(request, method), nonce="n", timestamp=7)["Authorization"]
    said = parameters_of(header)
    assert said.pop("realm") == "acme"
    signature = said.pop("oauth_signature")
    assert said["oauth_token"] == TOKEN
    signed = base_string("GET", "https://api.test/x", [*said.items(), ("realm", "r"), ("oauthlike", "1")])
    key = b"c%26s%20%25&t%26s%20%25"
    assert signature == b64encode(hmac.new(key, signed.encode(), digest).digest()).decode()


def test_rsa_signs_with_the_consumers_private_key_and_plaintext_shows_both_secrets() -> None:
    request = request_to_sign("GET", "https://api.test/x", None, None)
    signer = AuthlibSigner()
    rsa = parameters_of(signer.sign(order(request, "RSA-SHA1", RSA_PEM), nonce="n", timestamp=7)["Authorization"])
    assert len(b64decode(rsa["oauth_signature"])) == 256
    plain = parameters_of(signer.sign(order(request, "PLAINTEXT"), nonce="n", timestamp=7)["Authorization"])
    assert plain["oauth_signature"] == "c%26s%20%25&t%26s%20%25"


@pytest.mark.parametrize("secret", ["canary", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_secret_that_is_no_rsa_key_does_not_serve_for_rsa(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        AuthlibSigner().check("RSA-SHA1", Secret(secret))
    assert refused.value.field == "client_secret"
    assert "canary" not in str(refused.value)
    AuthlibSigner().check("HMAC-SHA1", Secret(secret))
    AuthlibSigner().check("RSA-SHA1", Secret(RSA_PEM))


@pytest.mark.parametrize(
    ("url", "form", "field"),
    [
        ("api.test/x", None, "url"),
        ("ftp://api.test/x", None, "url"),
        ("https://user@api.test/x", None, "url"),
        ("https://api.test/x#part", None, "url"),
        ("https://api.test/ü", None, "url"),
        ("https://api.test/a b", None, "url"),
        ("https://[::1/x", None, "url"),
        ("https://api.test/x?a=%FF", None, "url"),
        ("https://api.test/x?oauth_token=1", None, "url"),
        ("https://api.test/x", "a=%FF", "body"),
        ("https://api.test/x", {"a": "\ud800"}, "body"),
    ],
)
def test_what_cannot_be_signed_is_named(url: str, form: str | dict[str, str] | None, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        request_to_sign("GET", url, form, None)
    assert refused.value.field == field


def test_parameters_are_read_as_forms_have_them() -> None:
    request = request_to_sign("GET", "https://api.test/x?a=1+2&b&a=%2B", {"c": ["x", "y"]}, None)
    assert request.parameters == [*parse_qsl("a=1+2&b=&a=%2B", keep_blank_values=True), ("c", "x"), ("c", "y")]
