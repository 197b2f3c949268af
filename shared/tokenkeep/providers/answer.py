"""A token endpoint's answer as bytes, before anybody has said what it means."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_authentication import ClientKey


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to a token endpoint, ready to be written.

    `headers` have lower-case names and leave out `host` and `content-length`. `body` holds secrets, and so do `query`, which
    is added to the query of `url`, and `tail`, which goes on where its path ends: the address itself holds none, so it may be
    looked up, kept and compared. A request with a `client_key` goes over a connection that was made with it, and over no other.
    """

    url: str
    headers: Mapping[str, str]
    body: Secret
    method: str = "POST"
    query: Secret | None = None
    tail: Secret | None = None
    client_key: ClientKey | None = None

    def __repr__(self) -> str:
        # The authorization header holds the client's secret.
        return f"TokenRequest({self.method}, header names {sorted(self.headers)})"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. Header names are lower-case. `body` is decoded of transfer and content encodings."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The exchange ended without a complete answer.

    `maybe_sent`: at least one byte of the request was accepted by the socket, so the provider may have acted on it; unless it
    refused the TLS handshake, and so has read none.
    `reason` is `network_error`, `timeout` or `malformed_response` (not HTTP, cut short, or over the size bound).
    """

    reason: FailureReason
    maybe_sent: bool
    detail: str
