"""Sealed credentials in HashiCorp Vault's KV store, version 2, over its HTTP API.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tokenkeep.domain.errors import NotStored, TokenkeepError
from tokenkeep.domain.secret import Secret

_DEADLINE_S: Final = 4.0
_LARGEST_ANSWER: Final = 16 << 20
"""A list of one shard's names; one version of credentials is a few kilobytes."""


class VaultRefused(TokenkeepError):
    """Vault's answer is not what it must be. Only its status is told."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Vault answered {status}")


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """How to log in: a token, or an AppRole's two halves."""

    token: Secret | None = None
    role_id: Secret | None = None
    secret_id: Secret | None = None


class HashicorpVaultStore:
    """A `CredentialStore`. Each version is a secret of its own, written with check-and-set 0: only where there is none yet.

    A token that is refused is replaced once by a login with the AppRole; a given token is used as long as it lives, and
    whoever gave it renews it (Vault Agent does).

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
        self._login = login
        self._token = login.token
        self._logging_in = asyncio.Lock()
        headers = {"X-Vault-Request": "true"} | ({} if namespace is None else {"X-Vault-Namespace": namespace})
        self._http = httpx.AsyncClient(base_url=address, headers=headers, timeout=httpx.Timeout(_DEADLINE_S))

    async def put(self, name: str, sealed: bytes) -> None:
        """As the protocol says. Raises `VaultRefused` when other content is there."""
        content = base64.b64encode(sealed).decode()
        body = {"options": {"cas": 0}, "data": {"sealed": content}}
        answer = await self._ask("POST", self._at("data", name), body)
        if answer.status_code == httpx.codes.OK:
            return
        # It may be ours: a write whose acknowledgement was lost.
        if answer.status_code == httpx.codes.BAD_REQUEST and await self._holds(name, sealed):
            return
        raise VaultRefused(answer.status_code)

    async def get(self, name: str) -> bytes:
        """As the protocol says. Raises `VaultRefused` or what httpx raises."""
        answer = await self._ask("GET", self._at("data", name))
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
        answer = await self._ask("DELETE", self._at("metadata", name))
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
        await self._http.aclose()

    async def _holds(self, name: str, sealed: bytes) -> bool:
        try:
            return await self.get(name) == sealed
        except (NotStored, VaultRefused):
            return False

    async def _listed(self, path: str) -> list[str]:
        answer = await self._ask("GET", f"{self._at('metadata', path)}?list=true")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        if answer.status_code != httpx.codes.OK:
            raise VaultRefused(answer.status_code)
        return [str(key) for key in answer.json()["data"]["keys"]]

    def _at(self, kind: str, name: str) -> str:
        return f"/v1/{self._mount}/{kind}/{self._prefix}/{name}"

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """One request; after a refusal of the token, once more with a new one."""
        async with asyncio.timeout(_DEADLINE_S):
            token = self._token or await self._new_token(None)
            answer = await self._send(method, path, body, token)
            if answer.status_code == httpx.codes.FORBIDDEN and self._login.role_id is not None:
                answer = await self._send(method, path, body, await self._new_token(token))
            return answer

    async def _new_token(self, refused: Secret | None) -> Secret:
        """A token of a login with the AppRole, made by whoever comes first."""
        async with self._logging_in:
            if self._token is not None and self._token is not refused:
                return self._token
            role_id, secret_id = self._login.role_id, self._login.secret_id
            if role_id is None or secret_id is None:
                raise VaultRefused(httpx.codes.FORBIDDEN)
            body = {"role_id": role_id.reveal(), "secret_id": secret_id.reveal()}
            answer = await self._send("POST", "/v1/auth/approle/login", body, None)
            if answer.status_code != httpx.codes.OK:
                raise VaultRefused(answer.status_code)
            self._token = Secret(answer.json()["auth"]["client_token"])
            return self._token

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: Secret | None
    ) -> httpx.Response:
        headers = {} if token is None else {"X-Vault-Token": token.reveal()}
        async with self._http.stream(method, path, json=body, headers=headers) as answer:
            content = bytearray()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _LARGEST_ANSWER:
                    raise VaultRefused(answer.status_code)
        return httpx.Response(answer.status_code, content=bytes(content))
