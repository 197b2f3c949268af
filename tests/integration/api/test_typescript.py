"""`deploy/typescript`: current, sound by the compiler, and good for a real request."""

import asyncio
import os
import runpy
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api_service import Service
from gateway import answering
from resource_server import resource_server
from served_api import served
from walking import description

DERIVING = runpy.run_path(str(Path(__file__).parents[3] / "deploy" / "derive_typescript.py"))
TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the client and its packages. Where npm's registry can't be had, there is nothing to be tested."""
    directory = tmp_path_factory.mktemp("typescript")
    try:
        DERIVING["install"](directory)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm can't install what deploy/typescript/package.json names ({type(error).__name__})")
    return directory


async def test_the_types_are_derived_from_the_api_as_it_is(service: Service) -> None:
    document = await description(service)
    noted = DERIVING["NOTE"].read_text(encoding="utf-8").strip()
    assert DERIVING["digest"](DERIVING["canonical"](document)) == noted, "the API has changed: run make typescript"
    changed = {**document, "paths": {**document["paths"], "/v1/new": {}}}
    assert DERIVING["digest"](DERIVING["canonical"](changed)) != noted


def test_the_note_does_not_hang_on_where_and_which_version_it_is() -> None:
    document: dict[str, Any] = {"info": {"title": "t", "version": "1"}, "servers": [{"url": "http://a"}], "paths": {}}
    elsewhere = {**document, "info": {"title": "t", "version": "2"}, "servers": [{"url": "http://b"}]}
    assert DERIVING["canonical"](document) == DERIVING["canonical"](elsewhere)


async def test_types_and_client_are_current_and_sound(service: Service, installed: Path) -> None:
    canonical = DERIVING["canonical"](await description(service))
    derived = await asyncio.to_thread(DERIVING["derive"], installed, canonical)
    assert DERIVING["TYPES"].read_text(encoding="utf-8") == derived
    try:
        await asyncio.to_thread(DERIVING["run"], installed, "node_modules/typescript/bin/tsc")
    except subprocess.CalledProcessError as wrong:
        pytest.fail(wrong.stdout)


async def test_the_example_calls_a_provider_with_one_token(service: Service, installed: Path) -> None:
    name = uuid4().hex
    account_id = await service.account(await service.source(TOKEN_URL), name=name)
    key = await service.key("credentials:read")
    with resource_server() as resource:
        resource.good = {f"Bearer access-{name}.1"}
        async with served(service) as url:
            command = [str(DERIVING["_NODE"] / "bin" / "node"), "example.ts", f"{resource.url}/me"]
            environment = {**os.environ, "TOKENKEEP_URL": url, "TOKENKEEP_KEY": key, "ACCOUNT": account_id}
            started = await asyncio.create_subprocess_exec(
                *command,
                cwd=installed,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(started.communicate(), 60)
    assert started.returncode == 0, said.decode()
    assert said.decode().split() == ["200"]
    assert [borne for _, borne, _ in resource.seen] == [f"Bearer access-{name}.1"]
    await service.flush()
    [row] = await service.sql(
        "SELECT sum(count) AS vends FROM audit_log WHERE action = 'token.vend' AND target = :id", id=account_id
    )
    assert row["vends"] == 1


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (502, b"", "502 not_the_api: Bad Gateway"),
        (503, b"<html>\n</html>", "503 not_the_api: Service Unavailable"),
        (504, b"null", "504 not_the_api: Gateway Timeout"),
        (200, b"{}", "200 not_the_api: OK"),
        (409, b'{"status": 409, "code": "account_pending", "detail": "d"}', "409 account_pending: d"),
    ],
)
async def test_an_answer_that_is_not_the_apis_is_a_problem_with_its_status(
    installed: Path, status: int, body: bytes, told: str
) -> None:
    with answering(status, body) as url:
        command = [str(DERIVING["_NODE"] / "bin" / "node"), "example.ts", url]
        environment = {**os.environ, "TOKENKEEP_URL": url, "TOKENKEEP_KEY": "tk_key", "ACCOUNT": "acc_" + "0" * 32}
        started = await asyncio.create_subprocess_exec(
            *command,
            cwd=installed,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(started.communicate(), 60)
    assert (started.returncode, said.decode().strip()) == (1, told)
