"""Requests to HashiCorp Vault's HTTP API, and logging in there.

https://developer.hashicorp.com/vault/api-docs
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.secret import Secret

_DEADLINE_S: Final = 4.0
_LARGEST_ANSWER: Final = 16 << 20
"""A list of one shard's names; one version of credentials is a few kilobytes."""


class VaultRefused(TokenkeepError):
    """Vault's answer is not what it must be. Only its status is told."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Vault answered {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """How to log in: a token, or an AppRole's two halves."""

    token: Secret | None = None
    role_id: Secret | None = None
    secret_id: Secret | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is exactly one of the two, and nothing of it is missing."""
        return (self.token is None) != (self.role_id is None) and (self.role_id is None) == (self.secret_id is None)


class HashicorpHttp:
    """One Vault server. Nothing is connected before the first request; each has a total deadline of 4 seconds.

    A token that is refused is replaced once by a login with the AppRole; a given token is used as long as it lives, and
    whoever gave it renews it (Vault Agent does).

    Args:
        address: Vault's address, without a path.
        namespace: A namespace of Vault Enterprise or HCP, if it is in one.
        login: How to log in.
    """

    def __init__(self, address: str, *, namespace: str | None, login: VaultLogin) -> None:
        self._login = login
        self._token = login.token
        self._logging_in = asyncio.Lock()
        headers = {"X-Vault-Request": "true"} | ({} if namespace is None else {"X-Vault-Namespace": namespace})
        self._http = httpx.AsyncClient(base_url=address, headers=headers, timeout=httpx.Timeout(_DEADLINE_S))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
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
            try:
                self._token = Secret(answer.json()["auth"]["client_token"])
            except (ValueError, KeyError, TypeError):
                # From None: the answer may hold a token, if not where it belongs.
                raise VaultRefused(answer.status_code) from None
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
