"""docs/examples/nango: connections are fetched from Nango's API as it is documented, and what is converted can be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from api_service import Service, data
from imports import Import

PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "nango" / "nango_accounts.py"
SECRET = "nango-secret-key"


def connection(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "connection_id": f"c/{number}",
        "provider_config_key": "zendesk",
        "provider": "zendesk",
        "end_user": {"id": f"user-{number}"},
        "metadata": {"team": "blue", "seats": 3},
        "connection_config": {"subdomain": "acme", "other": "x"},
        "credentials": {
            "type": "OAUTH2",
            "access_token": f"at-{number}",
            "refresh_token": f"rt-{number}",
            "expires_at": "2090-03-08T09:43:03.725Z",
            "raw": {"scope": "read,write"},
        },
        **changes,
    }


class Nango(BaseHTTPRequestHandler):
    """As much of Nango's API as the program asks: a list in pages, and one connection with its refresh token."""

    connections: list[dict[str, Any]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        answer: Any = None
        if self.headers["Authorization"] == f"Bearer {SECRET}":
            answer = self.answer(unquote(url.path), asked)
        self.send_response(200 if answer is not None else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def answer(self, path: str, asked: dict[str, str]) -> Any:
        if path == "/connections":
            start, size = int(asked["page"]) * int(asked["limit"]), int(asked["limit"])
            listed = [{**one, "credentials": None} for one in self.connections]
            return {"connections": listed[start : start + size]}
        if path.endswith("/7"):
            return None
        assert asked == {"provider_config_key": "zendesk", "refresh_token": "true"}
        [found] = [one for one in self.connections if f"/connections/{one['connection_id']}" == path]
        return found


@pytest.fixture
def nango() -> Iterator[str]:
    Nango.connections = [connection(number) for number in range(103)]
    Nango.connections[50] = connection(50, provider_config_key="another")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nango)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str, secret: str = SECRET) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.defpath, "NANGO_SECRET_KEY": secret}
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def imported(service: Service, body: dict[str, Any], lines: str) -> list[dict[str, Any]]:
    async with service.client() as admin:
        source_id = data(await admin.post("/v1/sources", json={"name": "n", **body}), 201)["id"]
        written = lines.encode().splitlines(keepends=True)
        answer = await Import(service, written, {"source_id": source_id})()
        assert answer.statuses() == ["created"] * len(written), answer.body
        found: list[dict[str, Any]] = data(
            await admin.get("/v1/accounts", params={"source_id": source_id, "limit": 200})
        )
    return found


async def test_what_is_fetched_page_by_page_can_be_imported(service: Service, nango: str, tmp_path: Path) -> None:
    fetched = run("fetch", "zendesk", "--nango", nango)
    assert (fetched.returncode, fetched.stdout.count("\n")) == (1, 101)
    assert fetched.stderr == "c/7: HTTP 401\n"
    (tmp_path / "connections.ndjson").write_text(fetched.stdout)
    converted = run("convert", "--property", "subdomain", str(tmp_path / "connections.ndjson"))
    assert (converted.returncode, converted.stderr) == (0, "")
    accounts = await imported(
        service, {"provider": "zendesk", "client_id": "c", "client_secret": "s"}, converted.stdout
    )
    assert len(accounts) == 101
    first = accounts[0]
    assert (first["external_id"], first["scopes"], first["custody"]) == ("user-0", ["read", "write"], "held")
    assert first["metadata"] == {"nango_connection_id": "c/0", "team": "blue", "seats": "3"}
    assert first["properties"] == {"subdomain": "acme"}


async def test_other_kinds_are_converted_or_named(service: Service, tmp_path: Path) -> None:
    kinds = [
        connection(1, end_user=None, metadata=None, credentials={"type": "API_KEY", "apiKey": "key-1"}),
        connection(2, credentials={"type": "BASIC", "username": "u", "password": "p"}),
        connection(3, credentials={"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s"}),
        connection(4, credentials={"type": "OAUTH2_CC", "token": "secret-token"}),
        connection(5, credentials={"type": "API_KEY"}),
    ]
    file = tmp_path / "connections.ndjson"
    file.write_text("\n".join(map(json.dumps, kinds)))
    done = run("convert", str(file))
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["c/4: OAUTH2_CC: make it with POST /v1/accounts", "c/5: 'apiKey'"]
    key, basic, oauth1 = done.stdout.splitlines(keepends=True)
    [account] = await imported(service, {"provider": "generic-api-key"}, key)
    assert (account["external_id"], account["state"]) == ("c/1", "active")
    assert json.loads(basic)["credentials"] == {"username": "u", "password": "p"}
    assert json.loads(oauth1)["credentials"] == {"oauth_token": "t", "oauth_token_secret": "s"}


def test_a_server_without_pages_is_asked_for_each_connection_once(nango: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(_self: Nango, path: str, _asked: dict[str, str]) -> Any:
        return {"connections": Nango.connections} if path == "/connections" else {"connection_id": path}

    monkeypatch.setattr(Nango, "answer", all_of_them)
    done = run("fetch", "zendesk", "--nango", nango)
    assert (done.returncode, done.stdout.count("\n")) == (0, 102)


def test_a_wrong_key_ends_it_in_one_line_that_does_not_show_it(nango: str) -> None:
    done = run("fetch", "zendesk", "--nango", nango, secret="wrong-secret-key")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the list of connections: HTTP 401\n"
