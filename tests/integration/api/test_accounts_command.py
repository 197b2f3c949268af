"""`tokenkeep accounts` as a user runs it: a process of its own, over HTTP."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from api_process import api_process
from api_service import ADMIN_KEY, Service, data
from commands import Commands, Run, served
from household import a_free_port
from imports import a_line
from token_server import TokenServer, says
from tokenkeep.domain.plain_words import DISABLED

SECRETS = ("grant.1", "access-grant", "canary", "connect_url")
TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    async with served(service) as at:
        yield at


async def begin(service: Service, url: str, *words: str, **environment: str) -> asyncio.subprocess.Process:
    return await Commands("accounts", service, url).begin(*words, typed=False, **environment)


async def run(service: Service, url: str, *words: str, **environment: str) -> Run:
    return await Commands("accounts", service, url)(*words, **environment)


async def test_accounts_are_listed_shown_and_toggled(service: Service, url: str) -> None:
    source_id = await service.source(TOKEN_URL)
    first, second = [await service.account(source_id, name) for name in ("a", "b")]
    listed = await run(service, url, "list", "--json")
    assert (listed.status, listed.err) == (0, "")
    assert [one["id"] for one in json.loads(listed.out)] == [first, second]
    shown = await run(service, url, "show", first, "--json")
    assert json.loads(shown.out)["state"] == "active"
    off = await run(service, url, "disable", first, "--json")
    assert json.loads(off.out)["disabled"]["reason"] == "by_operator"
    some = await run(service, url, "list", "--state", "disabled", "--source", source_id)
    assert first in some.out
    assert second not in some.out
    assert "disabled (by_operator)" in some.out
    on = await run(service, url, "enable", first)
    assert (on.status, "active" in on.out) == (0, True)
    one = await run(service, url, "list", "--limit", "1", "--json")
    assert [it["id"] for it in json.loads(one.out)] == [first]
    assert "more than 1" in one.err


async def test_an_accounts_last_day_is_told_in_plain_words_and_without_a_secret(service: Service, url: str) -> None:
    async with TokenServer() as server, service.client() as admin:
        source_id = await service.source(server.url)
        account_id = await service.account(source_id)
        server.script.append(says(400, {"error": "invalid_grant"}))
        data(await admin.post("/v1/webhooks", json={"url": "https://93.184.215.14/hook"}), 201)
        await admin.post(f"/v1/accounts/{account_id}/refresh")
        await service.queue.drain()
        told = await run(service, url, "show", account_id)
        lines = [line[12:] for line in told.out.partition("Its last 24 hours (UTC):\n")[2].splitlines()[1:]]
        assert [line for line in lines if not line.startswith("Account")] == [
            "Somebody asked for a refresh.",
            "generic-oauth2 was asked for new tokens.",
            "generic-oauth2 answered (HTTP 400, “invalid_grant”). Refused: the provider refused the grant.",
            f"Disabled: {DISABLED['revoked'][0].lower()}{DISABLED['revoked'][1:]} Told as account.disabled.",
        ]
        assert "Only the user can bring it back" in told.out.partition("Its last")[0]
        key = await service.key("accounts:read", "events:read")
        document = await run(service, url, "show", account_id, "--json", TOKENKEEP_ADMIN_KEY=key)
    day = json.loads(document.out)["last_day"]
    [attempt] = day["attempts"]
    assert attempt["due_at"] <= attempt["sent_at"] <= attempt["settled_at"]
    assert [event["type"].rpartition(".")[2] for event in day["events"]] == ["created", "activated", "disabled"]
    assert (day["deliveries"], day["whole"]) == (None, True)
    for out in (told.out, document.out):
        assert [word for word in SECRETS if word in out] == []


async def test_what_is_wrong_is_one_line(service: Service, url: str, tmp_path: Path) -> None:
    gone = await run(service, url, "show", f"acc_{'0' * 32}")
    assert (gone.status, gone.err) == (1, "not_found: there is no such account in this environment\n")
    away = await run(service, "http://127.0.0.1:1", "list")
    assert away.status == 1
    assert away.err.count("\n") == 1
    stranger = await run(service, url, "list", TOKENKEEP_ADMIN_KEY="tk_canary-wrong")
    assert (stranger.status, stranger.err.partition(":")[0]) == (1, "not_authenticated")
    assert "canary" not in stranger.err
    keyless = await run(service, url, "list", TOKENKEEP_ADMIN_KEY="", TOKENKEEP_DATA_DIR=str(tmp_path))
    assert (keyless.status, keyless.err.startswith("TOKENKEEP_ADMIN_KEY: must be set")) == (1, True)
    assert (await run(service, url, "import", str(tmp_path))).err.startswith("FILE: must be an ordinary file")


async def test_the_data_directorys_admin_key_is_taken_if_no_other_is_given(
    service: Service, url: str, tmp_path: Path
) -> None:
    (tmp_path / "admin.key").write_text(f"{ADMIN_KEY}\n")
    listed = await run(service, url, "list", "--json", TOKENKEEP_ADMIN_KEY="", TOKENKEEP_DATA_DIR=str(tmp_path))
    assert (listed.status, listed.out) == (0, "[]\n")
    flags = await run(service, "", "list", "--json", "--api", url, "--key", ADMIN_KEY, TOKENKEEP_ADMIN_KEY="")
    assert (flags.status, flags.out) == (0, "[]\n")


async def test_a_file_is_imported_and_its_rejected_lines_are_kept_apart(
    service: Service, url: str, tmp_path: Path
) -> None:
    source_id = await service.source(TOKEN_URL)
    file, rejects = tmp_path / "accounts.ndjson", tmp_path / "rejects.ndjson"
    file.write_bytes(a_line("a") + b"not json\n" + a_line("b") + a_line("b") + a_line("c", colour="red")[:-1])
    done = await run(service, url, "import", str(file), "--source", source_id, "--rejects", str(rejects))
    assert done.status == 1
    assert done.out == "5 lines: 2 created, 1 there already, 2 rejected\n"
    assert "line 2: malformed_json: the body is not valid JSON" in done.err
    assert "line 5: invalid_input: colour: there is no such member" in done.err
    assert "canary" not in done.out + done.err
    assert rejects.read_bytes() == b"not json\n" + a_line("c", colour="red")
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    again = await run(service, url, "import", str(file), "--source", source_id, "--json")
    assert [one["status"] for one in again.lines] == ["created", "rejected", "created", "exists", "rejected"]
    anew = await run(service, url, "import", str(file), "--source", source_id, "--json", "--anew")
    assert [one["status"] for one in anew.lines] == ["exists", "rejected", "exists", "exists", "rejected"]
    itself = await run(service, url, "import", str(file), "--rejects", str(file))
    assert itself.err.startswith("--rejects: must be another file")
    nowhere = await run(service, url, "import", str(file), "--source", f"src_{'0' * 32}")
    assert (nowhere.status, nowhere.err) == (1, "not_found: there is no such source in this environment\n")


@asynccontextmanager
async def a_frail_road(port: int, *, cuts: list[int]) -> AsyncIterator[str]:
    """A way to the API that breaks, connection after connection, once so many bytes have come back; then it holds."""
    carried = iter(cuts)
    carriers: set[asyncio.Task[Any]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carriers.add(cast("asyncio.Task[Any]", asyncio.current_task()))
        left = next(carried, None)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)

        async def there() -> None:
            while piece := await reader.read(65_536):
                to_writer.write(piece)
                await to_writer.drain()

        going = asyncio.create_task(there())
        try:
            while piece := await to_reader.read(1024):
                writer.write(piece)
                await writer.drain()
                left = None if left is None else left - len(piece)
                if left is not None and left <= 0:
                    break
        except OSError:
            pass  # an end that went away first
        finally:
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            writer.transport.abort()
            to_writer.transport.abort()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)


async def test_an_import_over_a_road_that_breaks_comes_to_its_end(service: Service, url: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.ndjson"
    lines = [a_line(f"n{n}", credentials={"access_token": f"at{n}", "expires_in": 3600}) for n in range(2_000)]
    file.write_bytes(b"".join(lines))
    source_id = await service.source(TOKEN_URL)
    async with a_frail_road(int(url.rpartition(":")[2]), cuts=[10_000, 40_000]) as road:
        done = await run(service, road, "import", str(file), "--source", source_id, "--json")
    assert done.status == 0, done.err
    assert [one["line"] for one in done.lines] == list(range(1, 2_001))
    assert {one["status"] for one in done.lines} == {"created"}
    assert done.err.count("broke off") == 2
    rows = await service.sql("SELECT count(*) FROM accounts WHERE environment = :e", e=service.environment)
    assert rows[0]["count"] == 2_000


async def test_an_import_outlives_an_api_that_is_killed(service: Service, tmp_path: Path) -> None:
    port = a_free_port()
    file = tmp_path / "accounts.ndjson"
    lines = [a_line(f"n{n}", credentials={"access_token": f"at{n}", "expires_in": 3600}) for n in range(3_000)]
    file.write_bytes(b"".join(lines))
    source_id = await service.source(TOKEN_URL)
    url = f"http://127.0.0.1:{port}"
    results = []
    async with api_process(service, tmp_path, port=port) as first:
        command = await begin(service, url, "import", str(file), "--source", source_id, "--json")
        assert command.stdout is not None
        async for line in command.stdout:
            results.append(json.loads(line))
            if len(results) == 500:
                break
        await first.kill()
    async with api_process(service, tmp_path, port=port):
        results += [json.loads(line) async for line in command.stdout]
        assert await command.wait() == 0
    assert [one["line"] for one in results] == list(range(1, 3_001))
    assert len({one["id"] for one in results}) == 3_000
    rows = await service.sql("SELECT count(*) FROM accounts WHERE environment = :e", e=service.environment)
    assert rows[0]["count"] == 3_000


async def test_an_export_has_no_credentials_unless_they_are_asked_for(
    service: Service, url: str, tmp_path: Path
) -> None:
    source_id = await service.source(TOKEN_URL)
    named = {name: await service.account(source_id, name) for name in ("a", "b", "c")}
    await run(service, url, "disable", named["b"])
    plain = await run(service, url, "export", "--source", source_id)
    assert plain.status == 0
    assert [one["id"] for one in plain.lines] == list(named.values())
    assert not any("credentials" in one for one in plain.lines)
    out = tmp_path / "export.ndjson"
    full = await run(service, url, "export", "--with-credentials", "-o", str(out))
    assert (full.status, full.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    first, second, third = [json.loads(line) for line in out.read_text().splitlines()]
    assert first["credentials"]["oauth_access_token"] == "access-a.1"
    assert (second["credentials"], second["credentials_missing"]) == (None, "account_disabled")
    assert third["credentials"]["oauth_access_token"] == "access-c.1"
    assert all(f"{name}.1" not in out.read_text().replace(f"access-{name}.1", "") for name in named)
    await service.flush()
    async with service.client() as admin:
        audited = data(await admin.get("/v1/audit"))
    read = {one["target"]: one["result"] for one in audited if one["action"] == "credentials.read"}
    assert read == {named["a"]: "ok", named["b"]: "account_disabled", named["c"]: "ok"}
    reader = await service.key("accounts:read")
    refused = await run(service, url, "export", "--with-credentials", "--key", reader)
    assert refused.status == 1
    assert "credentials:read" in refused.err
