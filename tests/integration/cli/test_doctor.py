"""`tokenkeep doctor` over real servers: what is wrong with them is seen, and no secret is."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import redis

from databases import migrated_database
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.key_services.vault_transit import VaultTransit
from tokenkeep.adapters.vault.keyring import Keyring, new_entry
from tokenkeep.adapters.vault.keyring_file import create_keyring_file
from tokenkeep.domain.secret import Secret
from vault_server import VaultServer

ADMIN_KEY = "tk_hush-hush-admin-4711-of-the-tests"
VAULT_TOKEN = "hvs.hush-hush"
CARELESS = {"postgres.fsync", "postgres.full_page_writes"}
"""The tests' PostgreSQL does not wait for its disk, which is a fault anywhere else."""


@pytest.fixture(scope="module")
def database_url(postgres_url: str) -> str:
    return migrated_database(postgres_url, f"doctor_{uuid4().hex}")


@pytest.fixture
def environment(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    keyring = tmp_path / "keyring"
    create_keyring_file(keyring)
    return {
        "TOKENKEEP_DATABASE_URL": database_url,
        "TOKENKEEP_REDIS_URL": redis_url,
        "TOKENKEEP_KEYRING_FILE": str(keyring),
        "TOKENKEEP_DATA_DIR": str(tmp_path / "data"),
        "TOKENKEEP_ADMIN_KEY": ADMIN_KEY,
    }


def doctor(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    seen = subprocess.run(
        [sys.executable, "-m", "tokenkeep", "doctor", *options],
        env={**os.environ, **environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in seen.stderr
    assert "hush" not in seen.stdout + seen.stderr
    return seen


def found(environment: dict[str, str], *options: str) -> tuple[dict[str, dict[str, Any]], int]:
    """The findings by their check, and the exit code."""
    seen = doctor(environment, "--json", *options)
    document = json.loads(seen.stdout)
    assert sum(document["counts"].values()) == len(document["findings"])
    return {one["check"]: one for one in document["findings"]}, seen.returncode


def faults(findings: dict[str, dict[str, Any]]) -> set[str]:
    return {check for check, one in findings.items() if one["level"] == "fault"}


def run_sql(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


@contextmanager
def configured(redis_url: str, name: str, value: str) -> Iterator[None]:
    client = redis.Redis.from_url(redis_url)
    former = str(client.config_get(name)[name])
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, former)
        client.close()


def test_a_whole_installation_has_no_fault_but_that_its_database_is_careless(environment: dict[str, str]) -> None:
    findings, code = found(environment)

    assert faults(findings) == CARELESS
    assert code == 1
    assert {one["check"].partition(".")[0] for one in findings.values()} == {
        "settings",
        "providers",
        "host",
        "spool",
        "postgres",
        "redis",
        "keyring",
    }
    assert all(one["do"] for one in findings.values() if one["level"] in {"warning", "fault"})
    assert findings["postgres.schema"]["level"] == findings["redis.eviction"]["level"] == "ok"


def test_people_read_lines_with_what_to_do(environment: dict[str, str]) -> None:
    seen = doctor(environment)

    assert seen.returncode == 1
    assert "fsync is off" in seen.stdout
    assert "→ set fsync = on" in seen.stdout
    assert "2 fault" in seen.stdout.splitlines()[-1]


def test_a_database_without_a_schema_and_a_role_without_rights_are_seen(
    environment: dict[str, str], postgres_url: str, database_url: str
) -> None:
    name = f"poor_{uuid4().hex[:8]}"
    run_sql(postgres_url, f"CREATE DATABASE empty_{name}", f"CREATE ROLE {name}")
    empty = postgres_url.replace("/tokenkeep?", f"/empty_{name}?")
    # No password and no hba entry of its own: the session takes the role on once it is connected.
    poor = f"{database_url}&options=-c%20role%3D{name}"

    unmade, _ = found({**environment, "TOKENKEEP_DATABASE_URL": empty})
    unable, _ = found({**environment, "TOKENKEEP_DATABASE_URL": poor})

    assert "postgres.schema" in faults(unmade)
    assert "tokenkeep migrate" in unmade["postgres.schema"]["do"]
    assert "postgres.privileges" in faults(unable)


def test_rows_under_a_key_that_is_gone_are_seen(environment: dict[str, str], database_url: str) -> None:
    run_sql(
        database_url,
        "INSERT INTO sources (id, environment, provider, name, auth_type, key_id, wrapped_key, scopes, options)"
        " VALUES (gen_random_uuid(), 'e', 'p', 'n', 'oauth2', 'k-lost', '', '{}', '{}')",
    )
    try:
        findings, _ = found(environment)
    finally:
        run_sql(database_url, "DELETE FROM sources")

    assert "keyring.complete" in faults(findings)
    assert "rows of sources are sealed under k-lost" in findings["keyring.complete"]["saw"]


def test_a_server_that_evicts_is_seen(environment: dict[str, str], redis_url: str) -> None:
    with configured(redis_url, "maxmemory-policy", "allkeys-lru"):
        findings, _ = found(environment)

    assert "redis.eviction" in faults(findings)
    assert "noeviction" in findings["redis.eviction"]["do"]


def test_stores_that_are_away_are_told_once_each_and_without_their_passwords(environment: dict[str, str]) -> None:
    away = {
        "TOKENKEEP_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/n?sslmode=prefer",
        "TOKENKEEP_REDIS_URL": "redis://:hush@127.0.0.1:1/0",
    }

    findings, code = found({**environment, **away})

    assert code == 1
    assert faults(findings) == {"postgres.connection", "redis.connection"}
    assert "Connect" in findings["postgres.connection"]["saw"]
    assert findings["keyring.complete"]["level"] == "not_looked_at"


async def test_a_server_that_keeps_silent_costs_no_more_than_the_deadline(environment: dict[str, str]) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        silent = {"TOKENKEEP_DATABASE_URL": f"postgresql://u:hush@127.0.0.1:{port}/n"}
        findings, code = await asyncio.to_thread(found, {**environment, **silent}, "--deadline", "3")

    assert findings["postgres"]["level"] == "fault"
    assert "3 s" in findings["postgres"]["saw"]
    assert findings["redis.eviction"]["level"] == "ok"
    assert code == 1


def test_wrong_settings_are_a_finding_and_misspelt_ones_too(environment: dict[str, str]) -> None:
    wrong, code = found({**environment, "TOKENKEEP_LEASE_S": "soon"})
    odd, _ = found({**environment, "TOKENKEEP_LEASE_SS": "30", "TOKENKEEP_ADMIN_KEY": "tk_short"})

    assert (faults(wrong), code) == ({"settings.values"}, 1)
    assert "TOKENKEEP_LEASE_S" in wrong["settings.values"]["saw"]
    assert odd["settings.names"]["level"] == "warning"
    assert odd["settings.admin_key"]["level"] == "warning"


def test_a_keyring_that_others_may_read_is_a_fault_and_one_in_a_variable_a_warning(environment: dict[str, str]) -> None:
    Path(environment["TOKENKEEP_KEYRING_FILE"]).chmod(0o644)
    open_to_all, _ = found(environment)
    named = {name: value for name, value in environment.items() if name != "TOKENKEEP_KEYRING_FILE"}
    text = Keyring.generate().to_text().reveal().strip()
    in_a_variable, _ = found({**named, "TOKENKEEP_KEYRING": text})

    assert "chmod 600" in open_to_all["keyring.readable"]["saw"]
    assert in_a_variable["keyring.place"]["level"] == "warning"
    assert text.partition(":")[2] not in json.dumps(in_a_variable)


async def test_a_keyring_that_a_key_service_has_encrypted_is_opened_by_it(environment: dict[str, str]) -> None:
    vault = VaultServer(tokens={VAULT_TOKEN})
    async with vault.serve() as served:
        transit = VaultTransit(
            served.url, mount="transit", key="tokenkeep", namespace=None, login=VaultLogin(Secret(VAULT_TOKEN))
        )
        ring, entry = await asyncio.to_thread(new_entry, transit)
        await asyncio.to_thread(Path(environment["TOKENKEEP_KEYRING_FILE"]).write_text, entry.reveal())
        unnamed, _ = await asyncio.to_thread(found, environment)
        named = {
            **environment,
            "TOKENKEEP_KEYRING_KMS": f"vault-transit+{served.url}/transit/tokenkeep",
            "TOKENKEEP_VAULT_TOKEN": VAULT_TOKEN,
        }
        well, _ = await asyncio.to_thread(found, named)
        vault.tokens.clear()
        refused, code = await asyncio.to_thread(found, named)

    assert "TOKENKEEP_KEYRING_KMS" in unnamed["keyring.readable"]["saw"]
    assert well["keyring.key_service"]["level"] == well["keyring.complete"]["level"] == "ok"
    assert ring.current in well["keyring.readable"]["saw"]
    assert ("keyring.key_service" in faults(refused), code) == (True, 1)


def test_an_api_that_is_not_there_is_seen_when_it_is_asked_for(environment: dict[str, str]) -> None:
    findings, _ = found({**environment, "TOKENKEEP_PUBLIC_URL": "http://127.0.0.1:1"}, "--api")

    assert "api.ready" in faults(findings)


async def test_a_proxy_that_keeps_readiness_to_itself_is_no_fault(environment: dict[str, str]) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        there = {"TOKENKEEP_PUBLIC_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
        findings, _ = await asyncio.to_thread(found, {**environment, **there}, "--api")

    assert findings["api.ready"]["level"] == "not_looked_at"
