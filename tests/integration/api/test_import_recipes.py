"""The recipes of docs/how-to/import-accounts.md, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api_service import Service, data
from imports import Import
from tokenkeep.adapters.embedded.postgres import _programs

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "import-accounts.md"
NANGO: list[dict[str, Any]] = [
    {
        "id": 1,
        "connection_id": "c-1",
        "provider_config_key": "quickbooks",
        "provider": "quickbooks",
        "errors": [],
        "end_user": {"id": "user-1", "email": "a@example.org"},
        "metadata": {"team": "blue", "seats": 3, "flags": {"beta": True}},
        "connection_config": {"subdomain": "acme", "nested": {"x": 1}},
        "credentials": {
            "type": "OAUTH2",
            "access_token": "at-1",
            "refresh_token": "rt-1",
            "expires_at": "2090-03-08T09:43:03.725Z",
            "raw": {"access_token": "at-1", "token_type": "bearer", "scope": "read write"},
        },
    },
    {
        "id": 2,
        "connection_id": "c-2",
        "provider_config_key": "quickbooks",
        "provider": "quickbooks",
        "end_user": None,
        "metadata": None,
        "connection_config": {"subdomain": "globex"},
        "credentials": {"type": "OAUTH2", "access_token": "at-2", "raw": {}},
    },
    {"id": 3, "connection_id": "c-3", "credentials": {"type": "API_KEY", "apiKey": "key-3"}},
    {"id": 4, "connection_id": "c-4", "credentials": {"type": "APP", "app_id": "1"}},
]
TABLE = r"""
DROP TABLE IF EXISTS oauth_tokens;
CREATE TABLE oauth_tokens (user_id bigint, provider text, access_token text, refresh_token text, expires_at timestamptz,
                           scope text, team text);
INSERT INTO oauth_tokens VALUES
  (1, 'quickbooks', 'at-1', 'rt-1', '2090-01-01 13:00:00+01', 'read write', E'a "team" \\ with\na second line'),
  (2, 'quickbooks', 'at-2', NULL, NULL, NULL, 'blue'),
  (3, 'google', 'at-3', 'rt-3', NULL, NULL, 'blue');
"""


def recipe(name: str) -> str:
    marked = re.search(rf"<!-- tried by [^>]*: {name} -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert marked is not None
    return marked[1]


def run(name: str, directory: Path, **environment: str) -> list[bytes]:
    given = {**os.environ, "PATH": f"{_programs()}{os.pathsep}{os.environ['PATH']}", **environment}
    subprocess.run(["/bin/sh", "-ec", recipe(name)], cwd=directory, env=given, check=True, timeout=60)
    return (directory / "accounts.ndjson").read_bytes().splitlines(keepends=True)


async def imported(service: Service, provider: str, lines: list[bytes]) -> list[dict[str, Any]]:
    client = {} if "api-key" in provider else {"client_id": "c", "client_secret": "s"}
    options = {"token_url": "https://93.184.215.14/token"} if provider == "generic-oauth2" else {}
    body = {"provider": provider, "name": "n", **client, "options": options}
    async with service.client() as admin:
        source_id = data(await admin.post("/v1/sources", json=body), 201)["id"]
        answer = await Import(service, lines, {"source_id": source_id})()
        assert answer.statuses() == ["created"] * len(lines), answer.body
        found: list[dict[str, Any]] = data(await admin.get("/v1/accounts", params={"source_id": source_id}))
    return found


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("shape", ["array", "stream"])
async def test_connections_of_nango(service: Service, tmp_path: Path, shape: str) -> None:
    documents = [NANGO] if shape == "array" else NANGO
    (tmp_path / "connections.json").write_text("\n".join(json.dumps(one, indent=2) for one in documents))
    *with_tokens, with_key = run("nango", tmp_path)
    first, second = await imported(service, "zendesk", with_tokens)
    assert (first["external_id"], first["scopes"]) == ("user-1", ["read", "write"])
    assert first["expires_at"] == "2090-03-08T09:43:03.725Z"
    assert first["metadata"] == {"nango_connection_id": "c-1", "team": "blue", "seats": "3", "flags": '{"beta":true}'}
    assert (first["properties"], first["custody"]) == ({"subdomain": "acme"}, "held")
    assert (second["external_id"], second["custody"]) == ("c-2", "none")
    [third] = await imported(service, "generic-api-key", [with_key])
    assert (third["external_id"], third["state"]) == ("c-3", "active")


async def test_a_table(service: Service, tmp_path: Path, api_database_url: str) -> None:
    for statement in TABLE.strip().split(";\n"):
        await service.sql(statement.rstrip(";").replace(":", r"\:"))
    lines = run("sql", tmp_path, DATABASE_URL=api_database_url, PGTZ="Asia/Tokyo")
    first, second = await imported(service, "generic-oauth2", lines)
    assert (first["external_id"], first["scopes"]) == ("1", ["read", "write"])
    assert first["expires_at"] == "2090-01-01T12:00:00.000Z"
    assert first["metadata"] == {"team": 'a "team" \\ with\na second line'}
    assert (second["external_id"], second["custody"]) == ("2", "none")
