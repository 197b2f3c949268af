"""The examples of docs/how-to/receive-webhooks.md, run as they stand there."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from api_service import Service
from household import a_free_port
from webhook_house import Hooks, delivering

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "receive-webhooks.md"
SERVE = "import uvicorn, hooks; uvicorn.run(hooks.app, port={port}, log_level='error')"


def example(language: str) -> str:
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(block)


@asynccontextmanager
async def running(
    command: Sequence[str], folder: Path, port: int, secret: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example as a process, once it answers."""
    environment = {**os.environ, "TOKENKEEP_SECRET": secret, "PORT": str(port)}
    started = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30), httpx.AsyncClient() as client:
            while True:
                try:
                    refused = await client.post(f"http://127.0.0.1:{port}/tokenkeep", content=b"{}")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                assert refused.status_code == 401
                break
        yield started
    finally:
        started.kill()
        await started.wait()


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_receiver_takes_what_is_signed_and_nothing_else(
    hooks: Hooks, service: Service, tmp_path: Path, language: str
) -> None:
    port = a_free_port()
    webhook_id, secret = await hooks.make(f"http://127.0.0.1:{port}/tokenkeep")
    if language == "python":
        (tmp_path / "hooks.py").write_text(example(language), encoding="utf-8")
        command = [sys.executable, "-c", SERVE.format(port=port)]
    else:
        node = shutil.which("node")
        if node is None:
            pytest.skip("there is no Node on this machine")
        (tmp_path / "hooks.mjs").write_text(example(language), encoding="utf-8")
        command = [node, "hooks.mjs"]
    async with running(command, tmp_path, port, secret) as receiver, delivering(service):
        assert receiver.stdout is not None
        assert (await hooks.call("POST", webhook_id, "/test"))["http_status"] == 204
        assert b"tokenkeep.webhook.test" in await receiver.stdout.readline()
        await hooks.call("POST", webhook_id, "/rotate-secret", 201)  # it still holds the former one
        await hooks.happen()
        await hooks.until(webhook_id, state="delivered")
        assert b"tokenkeep.account.refreshed" in await receiver.stdout.readline()
        await hooks.call("POST", webhook_id, "/rotate-secret", 201, json={"overlap_s": 0})
        assert (await hooks.call("POST", webhook_id, "/test"))["http_status"] == 401
