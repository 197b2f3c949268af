"""`tokenkeep sources` and `tokenkeep api-keys` as a user runs them: processes of their own, over HTTP."""

import asyncio
import json
import os
import pty
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api_service import Service, data
from commands import Commands, served
from tokenkeep.domain.ids import IdKind, SourceId, parse_id

TOKEN_URL = "https://93.184.215.14/token"
CANARY = "canary-client-secret-4711"
MADE = ("create", "generic-oauth2", "--name", "books", "--option", f"token_url={TOKEN_URL}")


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    async with served(service) as at:
        yield at


@pytest.fixture
def sources(service: Service, url: str) -> Commands:
    return Commands("sources", service, url)


@pytest.fixture
def keys(service: Service, url: str) -> Commands:
    return Commands("api-keys", service, url)


async def at_a_terminal(commands: Commands, *words: str, typed: str) -> tuple[int, str]:
    """The command with a terminal as its standard input, output and error: its exit code, and what the terminal showed."""
    ours, its = pty.openpty()
    process = await asyncio.to_thread(
        subprocess.Popen,
        commands.words(*words),
        env=commands.environment(),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    shown = ""
    try:
        while piece := await asyncio.to_thread(_read, ours):
            shown += piece
            # The blank comes once the terminal shows nothing any more; what is typed before that is thrown away.
            if typed and shown.endswith(": "):
                os.write(ours, f"{typed}\n".encode())
                typed = ""
        return await asyncio.to_thread(process.wait, 30), shown
    finally:
        process.kill()
        os.close(ours)


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode()
    except OSError:  # nobody is at the other end any more
        return ""


async def test_a_source_is_made_shown_changed_paused_resumed_and_deleted(sources: Commands, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    given = ("--client-id", "mine", "--client-secret-file", str(secret), "--scope", "read", "--scope", "write")
    made = await sources(*MADE, *given, "--option", "old_refresh_grace_s=30", "--json")
    assert (made.status, made.err) == (0, "")
    source = json.loads(made.out)
    assert source["options"] == {"token_url": TOKEN_URL, "old_refresh_grace_s": 30}
    assert (source["client_id"], source["scopes"]) == ("mine", ["read", "write"])
    listed = await sources("list")
    assert source["id"] in listed.out
    assert listed.out.endswith("1 source\n")
    assert json.loads((await sources("list", "--json")).out) == [source]
    assert json.loads((await sources("show", source["id"], "--json")).out) == source
    secret.write_text("canary-next")
    changes = ("--name", "ledger", "--option", "refresh_rotates=yes", "--without-option", "old_refresh_grace_s")
    changed = await sources("update", source["id"], *changes, "--client-secret-file", str(secret), "--json")
    assert json.loads(changed.out)["options"] == {"token_url": TOKEN_URL, "refresh_rotates": "yes"}
    assert json.loads(changed.out)["name"] == "ledger"
    assert json.loads((await sources("pause", source["id"], "--json")).out)["paused_reason"] == "by_operator"
    assert "paused (by_operator)" in (await sources("list")).out
    resumed = await sources("resume", source["id"], "--json")
    assert json.loads(resumed.out)["state"] == "active"
    unasked = await sources("delete", source["id"])
    assert (unasked.status, unasked.err) == (1, "--yes: must be given where nobody can be asked\n")
    gone = await sources("delete", source["id"], "--yes")
    assert (gone.status, gone.out) == (0, f"deleted {source['id']}\n")
    assert json.loads((await sources("list", "--json")).out) == []
    seen = (made, listed, changed, resumed, gone)
    assert not any("canary" in run.out + run.err for run in seen)


async def test_a_secret_is_read_from_standard_input_and_used_as_it_is(service: Service, sources: Commands) -> None:
    made = await sources(*MADE, "--client-id", "mine", "--client-secret-file", "-", "--json", given=f"{CANARY}\n")
    assert made.status == 0, made.err
    assert await _client_secret(service, json.loads(made.out)["id"]) == CANARY


async def test_a_terminal_is_asked_for_the_secret_and_does_not_show_it(service: Service, sources: Commands) -> None:
    status, shown = await at_a_terminal(sources, *MADE, "--client-id", "mine", typed=CANARY)
    assert status == 0, shown
    assert "Client secret" in shown
    assert "canary" not in shown
    async with service.client() as admin:
        [source] = data(await admin.get("/v1/sources"))
    assert await _client_secret(service, source["id"]) == CANARY


async def test_a_deletion_at_a_terminal_asks_first(service: Service, sources: Commands) -> None:
    source_id = await service.source(TOKEN_URL)
    status, shown = await at_a_terminal(sources, "delete", source_id, typed="n")
    assert (status, "Delete a source (generic-oauth2, src_" in shown) == (1, True), shown
    assert json.loads((await sources("show", source_id, "--json")).out)["id"] == source_id
    status, shown = await at_a_terminal(sources, "delete", source_id, typed="y")
    assert (status, f"deleted {source_id}" in shown) == (0, True), shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--option", "tokenurl=x"), "invalid_input: options.tokenurl: "),
        (("--option", "old_refresh_grace_s=soon"), "invalid_input: options.old_refresh_grace_s: "),
        (("--option", "token_url"), "--option: must be name=value"),
        (("--option", "pkce=S256", "--option", "pkce=plain"), "--option: pkce is given twice"),
        (("--client-secret-file", "/nowhere/canary"), "--client-secret-file: can't be read: FileNotFoundError"),
        (("--scope", "a b"), "invalid_input: scopes.0: "),
    ],
)
async def test_what_is_wrong_is_one_line_that_names_it(
    service: Service, sources: Commands, words: tuple[str, ...], says: str
) -> None:
    refused = await sources(*MADE, "--client-id", "mine", *words)
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1), refused.err
    assert refused.err.startswith(says)
    async with service.client() as admin:
        assert data(await admin.get("/v1/sources")) == []


async def test_after_a_mass_revocation_the_provider_is_believed_when_that_is_said(
    service: Service, sources: Commands
) -> None:
    source_id = await service.source(TOKEN_URL)
    early = await sources("resume", source_id, "--confirm-revocations")
    assert (early.status, early.err.partition(": ")[0]) == (1, "invalid_input")
    assert "confirm_revocations" in early.err
    await service.sql(
        "UPDATE sources SET state = 'paused', paused_reason = 'mass_revocation', paused_at = clock_timestamp() WHERE id = CAST(:id AS uuid)",
        id=source_id.removeprefix("src_"),
    )
    resumed = await sources("resume", source_id, "--confirm-revocations", "--json")
    assert json.loads(resumed.out)["state"] == "active"


async def test_a_source_in_use_is_not_deleted_and_says_what_to_do(service: Service, sources: Commands) -> None:
    source_id = await service.source(TOKEN_URL)
    await service.account(source_id)
    refused = await sources("delete", source_id, "--yes")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("source_in_use: the source has 1 account: release those")


async def test_a_key_is_alone_on_standard_output_and_is_never_shown_again(service: Service, keys: Commands) -> None:
    made = await keys("create", "billing", "--scope", "accounts:read", "--scope", "events:read")
    assert made.status == 0, made.err
    key = made.out.removesuffix("\n")
    assert key.startswith("tk_")
    assert key.isprintable()
    assert " may accounts:read events:read;" in made.err
    assert key not in made.err
    async with service.client(key) as caller:
        assert (await caller.get("/v1/accounts")).status_code == 200
    listed = await keys("list", "--json")
    [stored] = json.loads(listed.out)
    assert (stored["name"], stored["environment"]) == ("billing", service.environment)
    table = await keys("list")
    assert stored["id"] in table.out
    assert key not in listed.out + table.out
    gone = await keys("delete", stored["id"], "--yes", "--json")
    assert json.loads(gone.out) == {"id": stored["id"], "deleted": True}
    async with service.client(key) as caller:
        assert (await caller.get("/v1/accounts")).status_code == 401


async def test_a_keys_maker_needs_to_name_no_environment(service: Service, keys: Commands) -> None:
    own = await service.key("admin")
    unnamed = replace(keys, named=False)
    made = await unnamed("create", "another", "--scope", "audit:read", "--json", TOKENKEEP_ADMIN_KEY=own)
    assert json.loads(made.out)["environment"] == service.environment
    weak = await service.key("audit:read")
    refused = await keys("create", "stronger", "--scope", "admin", TOKENKEEP_ADMIN_KEY=weak)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("missing_scope: ")
    ended = await keys("create", "late", "--scope", "admin", "--expires-at", "2001-01-01T00:00:00Z")
    assert ended.err.startswith("invalid_input: expires_at: ")


async def test_withdrawing_a_key_at_a_terminal_asks_first(service: Service, keys: Commands) -> None:
    await service.key("audit:read")
    async with service.client() as admin:
        [stored] = data(await admin.get("/v1/api-keys"))
    status, shown = await at_a_terminal(keys, "delete", stored["id"], typed="n")
    assert (status, "Withdraw the key a key (key_" in shown) == (1, True), shown
    async with service.client() as admin:
        assert len(data(await admin.get("/v1/api-keys"))) == 1


async def _client_secret(service: Service, source_id: str) -> str:
    async with service.wired.works.reading() as work:
        config = await work.sources.config(SourceId(parse_id(IdKind.SOURCE, source_id)))
    secret = service.wired.create_source.clients.secret_of(config)
    assert secret is not None
    return secret.reveal()
