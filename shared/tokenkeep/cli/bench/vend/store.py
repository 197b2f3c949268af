"""Accounts in store, put there over the API: what its readers will ask for."""

from collections.abc import AsyncIterator, Mapping

import httpx
import orjson

from tokenkeep.domain.secret import Secret

MARK = '"access_token":"access-'
"""What stands in the answer for each of the accounts."""

_LIFE_S = 86_400
_PATIENCE_S = 300.0
_SCOPES = ("credentials:read",)


async def new_source(client: httpx.AsyncClient) -> str:
    """A source whose provider is nowhere: nothing here is ever refreshed."""
    source = {
        "provider": "generic-oauth2",
        "name": "bench",
        "client_id": "client",
        "client_secret": "secret",
        "options": {"token_url": "https://provider.invalid/token"},
    }
    return str((await _posted(client, "/v1/sources", source))["id"])


async def new_key(client: httpx.AsyncClient) -> Secret:
    """An API key that may read credentials and do nothing else."""
    key = {"name": "bench", "environment": "default", "scopes": _SCOPES}
    return Secret((await _posted(client, "/v1/api-keys", key))["key"])


async def fill(client: httpx.AsyncClient, source_id: str, *, accounts: int) -> dict[str, str]:
    """Import so many accounts; their access tokens by their ids. A token is as long as many are.

    Raises:
        RuntimeError: A line was refused.
    """
    tokens = [f"access-{number:06d}-{'x' * 200}" for number in range(accounts)]

    async def lines() -> AsyncIterator[bytes]:
        for number, token in enumerate(tokens):
            credentials = {"access_token": token, "refresh_token": f"refresh-{number}", "expires_in": _LIFE_S}
            yield orjson.dumps({"credentials": credentials}) + b"\n"

    found: dict[str, str] = {}
    path = f"/v1/accounts/import?source_id={source_id}"
    headers = {"Content-Type": "application/x-ndjson"}
    async with client.stream("POST", path, content=lines(), headers=headers, timeout=_PATIENCE_S) as answer:
        async for line in answer.aiter_lines():
            result = orjson.loads(line)
            if result["status"] != "created":
                raise RuntimeError(f"a line was not imported: {result}")
            found[result["id"]] = tokens[result["line"] - 1]
    if len(found) != accounts:
        raise RuntimeError(f"{len(found)} of {accounts} accounts were imported")
    return found


async def _posted(client: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> dict[str, str]:
    answer = (await client.post(path, json=body)).raise_for_status()
    data: dict[str, str] = answer.json()["data"]
    return data
