"""How a client shows a token endpoint that it is itself, and where in a request that stands."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self, assert_never
from urllib.parse import quote_plus

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A client's private key as it was given, with its certificates where they belong to it.

    Keys are equal when their texts are. Only the text's digest is compared and hashed, so a key may stand in a table.
    """

    text: Secret = field(compare=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, text: Secret) -> Self:
        """The key of this text."""
        return cls(text, sha256(text.reveal().encode(errors="surrogatepass")).digest())


@dataclass(frozen=True, slots=True)
class BasicSecret:
    """A secret in the authorization header (RFC 6749, section 2.3.1)."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class PostedSecret:
    """A secret among the parameters (RFC 6749, section 2.3.1)."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class Assertion:
    """A signed assertion (RFC 7523, section 2.2). It is good for one request: its `jti` must not come twice."""

    jwt: Secret


Proof = BasicSecret | PostedSecret | Assertion | ClientKey | None
"""What a client proves itself with. A `ClientKey` proves it in the TLS handshake (RFC 8705), None is a client without proof."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client as it shows itself to a token endpoint."""

    id: str
    proof: Proof = None

    @property
    def key(self) -> ClientKey | None:
        """The key that its TLS connections are made with, where it proves itself by that."""
        return self.proof if isinstance(self.proof, ClientKey) else None

    @property
    def sent_secret(self) -> Secret | None:
        """What of the proof is written into the request, and might come back in an answer."""
        match self.proof:
            case BasicSecret(secret) | PostedSecret(secret) | Assertion(secret):
                return secret
            case ClientKey() | None:
                return None
            case _:
                assert_never(self.proof)


def credentials_of(client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the parameters that show who the client is."""
    named = {"client_id": client.id}
    match client.proof:
        case BasicSecret(secret):
            return {"authorization": _basic(client.id, secret)}, {}
        case PostedSecret(secret):
            return {}, {**named, "client_secret": secret.reveal()}
        case Assertion(jwt):
            # The id may be left out here (RFC 7521, section 4.2), yet some servers look the client up by it.
            return {}, {**named, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": jwt.reveal()}
        case ClientKey() | None:
            return {}, named
        case _:
            assert_never(client.proof)


def check_plain_secret(secret: Secret) -> None:
    """Whether a secret can be one that is sent as it is, or signed with as it is.

    Raises:
        InvalidInput: It has control characters, as a key that was given for another method would.
    """
    if not _PLAIN.fullmatch(secret.reveal()):
        raise InvalidInput("client_secret", "expected a text without control characters")


def _basic(client_id: str, secret: Secret) -> str:
    """RFC 6749, section 2.3.1: each half is form-encoded first, so that a colon in an id does no harm."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return "Basic " + b64encode(pair.encode()).decode()
