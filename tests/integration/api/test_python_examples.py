"""The programs of docs/examples/python, as their readers start them, against a real server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from api_service import Service, data
from resource_server import Resource, resource_server
from served_api import served

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "python"
TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture
async def api(service: Service) -> AsyncIterator[str]:
    async with served(service) as url:
        yield url


@pytest.fixture
def resource() -> Iterator[Resource]:
    with resource_server() as serving:
        yield serving


async def run(api: str, key: str, program: str, *words: str, **environment: str) -> tuple[int | None, str]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / program),
        *words,
        env={**os.environ, "TOKENKEEP_URL": api, "TOKENKEEP_KEY": key, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(started.communicate(), 60)
    return started.returncode, said.decode()


async def test_one_account_calls_an_api(service: Service, api: str, resource: Resource) -> None:
    name = uuid4().hex
    account_id = await service.account(await service.source(TOKEN_URL), name=name)
    resource.good = {f"Bearer access-{name}.1"}
    key = await service.key("credentials:read", "events:write")
    assert await run(api, key, "call_api.py", f"{resource.url}/me", ACCOUNT=account_id) == (0, "200 \n")
    async with service.client() as admin:
        data(await admin.post(f"/v1/accounts/{account_id}/disable?revoke=true"))
    status, said = await run(api, key, "call_api.py", f"{resource.url}/me", ACCOUNT=account_id)
    assert status == 1, said
    assert said.startswith("send the user to ")


async def test_every_active_account_calls_an_api(service: Service, api: str, resource: Resource) -> None:
    source_id = await service.source(TOKEN_URL)
    names = [uuid4().hex for _ in range(3)]
    for name in names:
        await service.account(source_id, name=name)
    resource.good = {f"Bearer access-{name}.1" for name in names}
    key = await service.key("accounts:read", "credentials:read", "events:read")
    status, said = await run(api, key, "sync_accounts.py", source_id, f"{resource.url}/me")
    assert (status, said) == (0, "None 200\n" * 3)
