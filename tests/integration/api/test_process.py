"""The API as a process of its own: ready, drained, and nothing lost at its end."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx

from api_service import ADMIN_KEY, Service, data
from tokenkeep.settings import child_environment

PROGRAM = "from tokenkeep.cli.processes import api; api()"


async def test_a_process_that_is_told_to_stop_answers_who_waits_and_writes_what_it_noted(
    service: Service, tmp_path: Path
) -> None:
    service.queue.refreshing = None
    source_id = await service.source("https://93.184.215.14/token")
    account_id = await service.account(source_id, expires_in=None, expires_at="2020-01-01T00:00:00Z")
    # What is fixed while this process lives: the keyring, the stores and the admin key are the service's own.
    settings = service.foundation.settings.model_copy(
        update={
            "api_port": 0,
            "api_drain_delay_s": 0.0,
            "log_level": "debug",
            "log_format": "json",
            "data_dir": tmp_path,
        }
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={**child_environment(settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "api_ready":
            break
    ready = lines[-1]
    assert ready["url"] == f"http://127.0.0.1:{ready['port']}"
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "X-Tokenkeep-Environment": service.environment}
    async with httpx.AsyncClient(base_url=ready["url"], headers=headers, timeout=20) as client:
        assert (await client.get("/readyz")).status_code == 200
        waiting = asyncio.create_task(client.post(f"/v1/accounts/{account_id}/token", json={"wait": 2}))
        async for line in process.stdout:
            lines.append(json.loads(line))
            rows = await service.sql(
                "SELECT demanded_at FROM leases WHERE account_id = CAST(:id AS uuid)",
                id=account_id.removeprefix("acc_"),
            )
            if rows[0]["demanded_at"] is not None:
                break
            await client.get("/v1/sources")  # another line
        process.send_signal(signal.SIGTERM)
        answer = await waiting
    assert answer.status_code == 503
    rest = [json.loads(line) async for line in process.stdout]
    assert await process.wait() == 0
    assert "api_draining" in [line["event"] for line in rest]
    assert ADMIN_KEY not in json.dumps([*lines, *rest])
    async with service.client() as admin:
        audited = data(await admin.get("/v1/audit"))
    assert ("token.vend", "token_unavailable", account_id) in [
        (entry["action"], entry["result"], entry["target"]) for entry in audited
    ]
