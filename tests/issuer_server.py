"""An issuer of security event tokens: it publishes a configuration and keys, and signs."""

import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from joserfc import jws
from joserfc.jwk import OctKey, RSAKey

from raw_http import Peer, RawServer, http


def a_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


def signed(claims: Any, key: RSAKey | OctKey, *, kid: str | None = None, alg: str = "RS256") -> bytes:
    """A token, signed; with an empty `kid` it names no key."""
    named = {} if kid == "" else {"kid": kid or key.kid}
    header = {"alg": alg, "typ": "secevent+jwt", **named}
    return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[alg]).encode()


@dataclass
class IssuerServer:
    """Serves `/risc-configuration` and `/certs`. `away`: it answers 503. `looks` are the paths that were asked for."""

    issuer: str
    keys: list[RSAKey] = field(default_factory=list)
    away: bool = False
    looks: list[str] = field(default_factory=list)
    _server: RawServer | None = None

    async def __aenter__(self) -> Self:
        self._server = await RawServer(self._serve).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.__aexit__(kind, error, trace)

    @property
    def configuration_url(self) -> str:
        return f"{self._root}/risc-configuration"

    @property
    def _root(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.port}"

    async def _serve(self, peer: Peer) -> None:
        while True:
            path = (await peer.request()).split(b" ")[1].decode()
            self.looks.append(path)
            if self.away:
                await peer.say(http(b"", status="503 Service Unavailable"))
                continue
            told: Any = {"issuer": self.issuer, "jwks_uri": f"{self._root}/certs"}
            if path == "/certs":
                told = {"keys": [key.as_dict(private=False) for key in self.keys]}
            await peer.say(http(json.dumps(told).encode(), "content-type: application/json"))
