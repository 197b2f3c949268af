"""A consumer that was written for Pipedream's credentials API and reads ours: only the base address is another one."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api_service import Service
from token_server import TokenServer
from tokenkeep_api.listening import Server, bind

# As that API's page has it, word for word.
CONSUMER = """\
/*** PSEUDO-CODE — use this as a guide ***/

// Fetch the most-recent token and expiry from cache / DB
const cache = Cache();
const { oauth_access_token, expires_at } = await cache.get("credentials");

// Only fetch new tokens when expired
let token = oauth_access_token;
if (expires_at && new Date(expires_at) < new Date()) {
  const url = `https://api.pipedream.com/v1/accounts/<ACCOUNT_ID>?include_credentials=1`;
  const headers = {
    "Content-Type": "application/json",
    Authorization: `Bearer <PIPEDREAM_API_KEY>`,
  };

  const response = await fetch(url, {
    method: "GET",
    headers,
  });
  if (!response.ok)
    throw new Error(`Unable to fetch token: ${response.status}`);

  const { data } = await response.json();
  const newToken = data?.credentials?.oauth_access_token;
  if (!newToken) throw new Error("No access token");
  token = newToken;
}

// Use `token` in API requests. Handle credentials errors and
// fetch new credentials from Pipedream as necessary
"""
CACHE = """\
const cached = JSON.parse(process.argv[2]);
const Cache = () => ({ get: async (name) => (name === "credentials" ? cached : undefined) });
"""


def node() -> str:
    """Without node a test is skipped on a developer's machine, but fails where CI=true is set."""
    found = shutil.which("node")
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("node is not installed")
    pytest.skip("node is not installed")


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[str]:
    """The API at an address of its own."""
    listener: socket.socket = bind("127.0.0.1", 0)
    server = Server(service.app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def consumed(service: Service, account_id: str, key: str, cached: str) -> str:
    async with served(service) as address:
        program = CONSUMER.replace("https://api.pipedream.com", address)
        program = program.replace("<ACCOUNT_ID>", account_id).replace("<PIPEDREAM_API_KEY>", key)
        process = await asyncio.create_subprocess_exec(
            node(),
            "--input-type=module",
            "-",
            cached,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        written, _ = await process.communicate(f"{CACHE}{program}\nconsole.log(token);\n".encode())
    assert process.returncode == 0
    return written.decode().strip()


async def test_a_consumer_with_a_cache_gets_a_token_that_is_not_expired(service: Service, server: TokenServer) -> None:
    account_id = await service.account(
        await service.source(server.url), expires_in=None, expires_at="2020-01-01T00:00:00Z"
    )
    key = await service.key("accounts:read", "credentials:read")
    expired = '{"oauth_access_token": "old", "expires_at": "2020-01-01T00:00:00.000Z"}'
    assert await consumed(service, account_id, key, expired) == "access-grant.2"
    fresh = '{"oauth_access_token": "old", "expires_at": "2199-01-01T00:00:00.000Z"}'
    assert await consumed(service, account_id, key, fresh) == "old"
    lasting = '{"oauth_access_token": "old", "expires_at": null}'
    assert await consumed(service, account_id, key, lasting) == "old"
    await service.queue.drain()
