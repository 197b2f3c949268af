"""Sealed credentials in HashiCorp Vault's KV store, version 2, over its HTTP API.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import base64
import binascii
from collections.abc import AsyncIterator

import httpx

from tokenkeep.adapters.hashicorp_http import HashicorpHttp, VaultLogin, VaultRefused
from tokenkeep.domain.errors import NotStored


class HashicorpVaultStore:
    """A `CredentialStore`. Each version is a secret of its own, written with check-and-set 0: only where there is none yet.

    Args:
        address: Vault's address, without a path.
        mount: Where the KV store is mounted.
        prefix: The path in it under which everything lies.
        namespace: A namespace of Vault Enterprise or HCP, if it is in one.
        login: How to log in.
    """

    def __init__(self, address: str, *, mount: str, prefix: str, namespace: str | None, login: VaultLogin) -> None:
        self._mount = mount
        self._prefix = prefix
        self._http = HashicorpHttp(address, namespace=namespace, login=login)

    async def put(self, name: str, sealed: bytes) -> None:
        """As the protocol says. Raises `VaultRefused` when other content is there."""
        content = base64.b64encode(sealed).decode()
        body = {"options": {"cas": 0}, "data": {"sealed": content}}
        answer = await self._http.ask("POST", self._at("data", name), body)
        if answer.status_code == httpx.codes.OK:
            return
        # It may be ours: a write whose acknowledgement was lost.
        if answer.status_code == httpx.codes.BAD_REQUEST and await self._holds(name, sealed):
            return
        raise VaultRefused(answer.status_code)

    async def get(self, name: str) -> bytes:
        """As the protocol says. Raises `VaultRefused` or what httpx raises."""
        answer = await self._http.ask("GET", self._at("data", name))
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotStored(name)
        if answer.status_code != httpx.codes.OK:
            raise VaultRefused(answer.status_code)
        try:
            return base64.b64decode(answer.json()["data"]["data"]["sealed"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise VaultRefused(answer.status_code) from None

    async def remove(self, name: str) -> None:
        """As the protocol says: the secret with its metadata, not a version of it."""
        answer = await self._http.ask("DELETE", self._at("metadata", name))
        if answer.status_code not in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}:
            raise VaultRefused(answer.status_code)

    async def names(self) -> AsyncIterator[str]:
        """As the protocol says, a shard at a time."""
        for shard in await self._listed(""):
            if shard.endswith("/"):
                for name in await self._listed(shard):
                    yield f"{shard}{name}"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _holds(self, name: str, sealed: bytes) -> bool:
        try:
            return await self.get(name) == sealed
        except (NotStored, VaultRefused):
            return False

    async def _listed(self, path: str) -> list[str]:
        answer = await self._http.ask("GET", f"{self._at('metadata', path)}?list=true")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        if answer.status_code != httpx.codes.OK:
            raise VaultRefused(answer.status_code)
        return [str(key) for key in answer.json()["data"]["keys"]]

    def _at(self, kind: str, name: str) -> str:
        return f"/v1/{self._mount}/{kind}/{self._prefix}/{name}"
