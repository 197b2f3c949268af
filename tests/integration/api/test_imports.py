"""`POST /v1/accounts/import`: what becomes of lines, whatever else is in the body."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api_service import Service, data
from imports import Import, Imported, a_line
from token_server import TokenServer
from tokenkeep_api.lines import LONGEST_LINE, MOST_LINES

TOKEN_URL = "https://93.184.215.14/token"
KEY = {"Idempotency-Key": "import-1"}


@pytest.fixture
async def source_id(service: Service) -> str:
    return await service.source(TOKEN_URL)


@pytest.fixture
def query(source_id: str) -> dict[str, str]:
    return {"source_id": source_id}


async def accounts(service: Service) -> list[dict[str, Any]]:
    async with service.client() as admin:
        found: list[dict[str, Any]] = data(await admin.get("/v1/accounts", params={"limit": "200"}))
    return found


async def count(service: Service) -> int:
    rows = await service.sql("SELECT count(*) FROM accounts WHERE environment = :e", e=service.environment)
    return int(rows[0]["count"])


async def test_each_line_has_a_result_and_its_account_is_like_any_other(
    service: Service, admin: httpx.AsyncClient, source_id: str
) -> None:
    lines = [
        a_line("a", source_id=source_id, external_id="alice", metadata={"team": "blue"}),
        a_line(
            "b", source_id=source_id, credentials={"access_token": "canary-at", "expires_at": "2090-01-01T00:00:00Z"}
        ),
        a_line("c", source_id=source_id, credentials=None),
    ]
    answer = await Import(service, lines)()
    assert answer.whole
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.statuses() == ["created"] * 3
    assert [set(one) for one in answer.results] == [{"line", "status", "id"}] * 3
    found = {one["id"]: one for one in await accounts(service)}
    first, second, third = [found[one["id"]] for one in answer.results]
    assert (first["external_id"], first["metadata"], first["custody"], first["state"]) == (
        "alice",
        {"team": "blue"},
        "held",
        "active",
    )
    assert (second["custody"], second["expires_at"]) == ("none", "2090-01-01T00:00:00.000Z")
    assert third["state"] == "pending"
    token = data(await admin.post(f"/v1/accounts/{first['id']}/token"))
    assert token["access_token"] == "canary-access-a"
    events = data(await admin.get(f"/v1/accounts/{first['id']}/events"))
    assert [one["type"] for one in events] == ["tokenkeep.account.activated", "tokenkeep.account.created"]
    audited = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.import"]
    assert {one["target"] for one in audited} == set(found)


async def test_the_request_may_name_the_source_of_all_lines(service: Service, query: dict[str, str]) -> None:
    other = await service.source(TOKEN_URL)
    lines = [a_line("a"), a_line("b", **query), a_line("c", source_id=other)]
    answer = await Import(service, lines, query)()
    assert answer.statuses() == ["created", "created", "rejected"]
    assert (answer.results[2]["code"], answer.results[2]["field"]) == ("invalid_input", "source_id")


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        (b"{", "malformed_json", None),
        (b"", "malformed_json", None),
        (b" \r", "malformed_json", None),
        (b"\xff\xfe", "malformed_json", None),
        (b'{"external_id": "a\\u0000"}', "malformed_json", None),
        (b'{"external_id": "a", "external_id": "b"}', "malformed_json", None),
        (b"[]", "invalid_input", "body"),
        (b'"canary"', "invalid_input", "body"),
        (b'{"colour": "canary"}', "invalid_input", "colour"),
        (b'{"credentials": {"access_token": ""}}', "invalid_input", "credentials.access_token"),
        (b'{"source_id": "canary"}', "invalid_input", "source_id"),
        (
            b'{"credentials": {"authorization_code": "canary", "redirect_uri": "https://app.example/cb"}}',
            "invalid_input",
            "credentials",
        ),
        (b'"' + b"x" * LONGEST_LINE + b'"', "line_too_long", None),
    ],
)
async def test_a_line_that_is_refused_stops_no_other_and_is_not_quoted(
    service: Service, query: dict[str, str], line: bytes, code: str, field: str | None
) -> None:
    answer = await Import(service, [a_line("a") + line + b"\n" + a_line("b")], query)()
    assert answer.statuses() == ["created", "rejected", "created"]
    refused = answer.results[1]
    assert (refused["code"], refused.get("field")) == (code, field)
    assert refused["detail"]
    assert b"canary" not in answer.body


async def test_lines_of_every_kind_are_taken_in(service: Service, admin: httpx.AsyncClient) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "generic-api-key": {"api_key": "canary-key"},
        "generic-basic": {"username": "canary-user", "password": "canary-password"},
        "generic-bearer": {"access_token": "canary-bearer"},
        "generic-oauth1": {"oauth_token": "canary-token", "oauth_token_secret": "canary-token-secret"},
    }
    lines, wrong = [], []
    for provider, credentials in kinds.items():
        client = {"client_id": "c", "client_secret": "s"} if provider == "generic-oauth1" else {}
        body = {"provider": provider, "name": provider, **client}
        source_id = data(await admin.post("/v1/sources", json=body), 201)["id"]
        lines.append(a_line(provider, source_id=source_id, credentials=credentials))
        wrong.append(a_line(provider, source_id=source_id, credentials={"wrong": "canary"}))
    answer = await Import(service, [*lines, *wrong], headers=KEY)()
    assert answer.statuses() == ["created"] * 4 + ["rejected"] * 4, answer.body
    assert {one["code"] for one in answer.results[4:]} == {"invalid_input"}
    assert all(one["field"].startswith("credentials") for one in answer.results[4:])
    assert [(one["state"], one["custody"]) for one in await accounts(service)] == [("active", "none")] * 4
    first = data(await admin.post(f"/v1/accounts/{answer.results[0]['id']}/token"))
    assert "canary-key" in str(first["headers"]) + str(first.get("query"))
    kept = await service.sql("SELECT digests, results FROM import_chunks")
    assert "canary" not in str(kept)


async def test_what_a_provider_has_to_be_asked_for_first_is_not_imported(
    service: Service, admin: httpx.AsyncClient
) -> None:
    found = [it.slug for it in service.foundation.catalogue.all() if it.grant.is_machines]
    body = {"provider": found[0], "name": "n", "client_id": "c", "client_secret": "s"}
    made = await admin.post("/v1/sources", json=body)
    source_id = data(made, 201)["id"]
    answer = await Import(service, [a_line("m", source_id=source_id, credentials={})])()
    assert answer.statuses() == ["rejected"]
    assert answer.results[0]["field"].startswith("credentials")


async def test_sources_that_are_not_there_are_refused_line_by_line_or_at_once(service: Service, source_id: str) -> None:
    nowhere = f"src_{'0' * 32}"
    answer = await Import(service, [a_line("a", source_id=nowhere), a_line("b", source_id=source_id), a_line("c")])()
    assert answer.statuses() == ["rejected", "created", "rejected"]
    assert [answer.results[n]["code"] for n in (0, 2)] == ["not_found", "invalid_input"]
    assert answer.results[2]["field"] == "source_id"
    refused = await Import(service, [a_line("a")], {"source_id": nowhere})()
    assert (refused.status, refused.problem["code"]) == (404, "not_found")
    malformed = await Import(service, [a_line("a")], {"source_id": "x"})()
    assert (malformed.status, malformed.problem["field"]) == (422, "source_id")
    async with service.client(**{"X-Tokenkeep-Environment": f"{service.environment}-other"}) as stranger:
        headers = {"Content-Type": "application/x-ndjson"}
        seen = await stranger.post("/v1/accounts/import", content=a_line("x", source_id=source_id), headers=headers)
        assert json.loads(seen.text)["code"] == "not_found"


async def test_a_refresh_token_that_is_there_already_is_the_same_account(
    service: Service, query: dict[str, str], source_id: str
) -> None:
    first = await service.account(source_id, "known")
    lines = [a_line("a"), a_line("x", credentials={"access_token": "at", "refresh_token": "known.1"}), a_line("a")]
    answer = await Import(service, lines, query)()
    assert answer.statuses() == ["created", "exists", "exists"]
    assert answer.results[1]["id"] == first
    assert answer.results[2]["id"] == answer.results[0]["id"]
    again = await Import(service, lines, query)()
    assert again.statuses() == ["exists"] * 3
    assert await count(service) == 2


async def test_two_imports_of_the_same_lines_at_the_same_time_make_one_account_each(
    service: Service, query: dict[str, str]
) -> None:
    lines = [a_line(f"n{number}") for number in range(3 * MOST_LINES)]
    one, other = await asyncio.gather(Import(service, lines, query)(), Import(service, lines[::-1], query)())
    assert one.whole
    assert other.whole
    made = [{line["line"]: line for line in answer.results} for answer in (one, other)]
    for number in range(1, len(lines) + 1):
        here, there = made[0][number], made[1][len(lines) + 1 - number]
        assert here["id"] == there["id"]
        assert {here["status"], there["status"]} == {"created", "exists"}
    assert await count(service) == len(lines)


async def test_a_row_that_the_database_refuses_fails_alone(service: Service, query: dict[str, str]) -> None:
    table = "ALTER TABLE accounts"
    await service.sql(f"{table} ADD CONSTRAINT no_poison CHECK (external_id NOT LIKE 'poison%') NOT VALID")
    try:
        names = [f"poison{number}" if number in {0, 7, 8, 99} else f"fine{number}" for number in range(100)]
        answer = await Import(service, [a_line(name, external_id=name) for name in names], query)()
    finally:
        await service.sql(f"{table} DROP CONSTRAINT no_poison")
    assert answer.whole
    assert answer.statuses() == ["rejected" if name.startswith("poison") else "created" for name in names]
    assert answer.results[7]["code"] == "not_storable"
    assert {one["external_id"] for one in await accounts(service)} == {n for n in names if n.startswith("fine")}
    told = await service.sql("SELECT count(*) FROM events WHERE environment = :e", e=service.environment)
    assert told[0]["count"] == 2 * 96


async def test_lines_may_be_cut_anywhere_and_the_last_needs_no_end(service: Service, query: dict[str, str]) -> None:
    body = b"".join(a_line(f"n{number}") for number in range(20)).removesuffix(b"\n")
    answer = await Import(service, [body[at : at + 7] for at in range(0, len(body), 7)], query)()
    assert answer.whole
    assert answer.statuses() == ["created"] * 20
    empty = await Import(service, [], query)()
    assert (empty.status, empty.whole, bytes(empty.body)) == (200, True, b"")


async def test_results_come_while_the_client_still_thinks_about_its_next_line(
    service: Service, query: dict[str, str]
) -> None:
    answered = asyncio.Event()

    async def note(_answered: bytes) -> None:
        answered.set()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield a_line(f"n{number}")
            await answered.wait()
            answered.clear()

    answer = await Import(service, pieces(), query, on_answer=note)()
    assert answer.statuses() == ["created"] * 3


@pytest.mark.parametrize("size", [1, 300, 60_000])
async def test_never_more_than_a_batch_of_lines_is_held(service: Service, query: dict[str, str], size: int) -> None:
    lines = [a_line(f"n{number}") for number in range(5_000)] if size > 1 else [a_line(f"n{n}") for n in range(600)]
    body = b"".join(lines)
    longest = max(map(len, lines))
    given = results = 0
    most_held = 0

    async def note(answered: bytes) -> None:
        nonlocal results
        results += answered.count(b"\n")

    def pieces() -> list[bytes]:
        step = size if size > 1 else len(lines[0])
        return [body[at : at + step] for at in range(0, len(body), step)]

    async def counted() -> AsyncIterator[bytes]:
        nonlocal given, most_held
        for piece in pieces():
            given += piece.count(b"\n")
            most_held = max(most_held, given - results)
            yield piece

    answer = await Import(service, counted(), query, on_answer=note)()
    assert answer.statuses() == ["created"] * len(lines)
    # A batch, the piece that completed it, and the one that was asked for ahead.
    assert most_held <= MOST_LINES + 2 * (size // (longest - 4) + 2)


async def test_large_lines_are_held_by_their_size(service: Service, query: dict[str, str]) -> None:
    given = results = 0
    most_held = 0
    large = b'{"metadata": {' + b" " * (LONGEST_LINE // 2) + b"}}\n"

    async def note(answered: bytes) -> None:
        nonlocal results
        results += answered.count(b"\n")

    async def counted() -> AsyncIterator[bytes]:
        nonlocal given, most_held
        for _ in range(40):
            given += 1
            most_held = max(most_held, given - results)
            yield large

    answer = await Import(service, counted(), query, on_answer=note)()
    assert answer.statuses() == ["created"] * 40
    assert most_held <= 4 * 2 + 3


async def test_a_client_that_does_not_read_is_waited_for_and_nothing_more_is_read(
    service: Service, query: dict[str, str]
) -> None:
    blocked = asyncio.Event()
    reading = asyncio.Event()

    async def slowly(_answered: bytes) -> None:
        blocked.set()
        await reading.wait()

    sending = Import(service, [a_line(f"n{number}") for number in range(2_000)], query, on_answer=slowly)
    running = asyncio.create_task(sending())
    await blocked.wait()
    stored, asked = await count(service), sending.asked
    assert stored <= MOST_LINES
    for _ in range(100):
        await service.sql("SELECT 1")
    assert (await count(service), sending.asked) == (stored, asked)
    reading.set()
    assert (await running).statuses() == ["created"] * 2_000


async def test_one_environment_does_not_get_all_the_places_for_imports(service: Service) -> None:
    going = asyncio.Event()
    other = replace(service, environment=f"{service.environment}-b")
    third = replace(service, environment=f"{service.environment}-c")
    queries = {one.environment: {"source_id": await one.source(TOKEN_URL)} for one in (service, other, third)}

    async def begun(of: Service, name: str) -> asyncio.Task[Imported]:
        seen = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield a_line(name)
            await going.wait()

        async def note(_answered: bytes) -> None:
            seen.set()

        task = asyncio.create_task(Import(of, waiting(), queries[of.environment], on_answer=note)())
        await seen.wait()
        return task

    async def refused(of: Service) -> int | None:
        answer = await Import(of, [a_line("x")], queries[of.environment])()
        assert answer.problem["code"] == "too_many_imports"
        assert answer.headers["retry-after"] == "5"
        return answer.status

    running = [await begun(service, "a1"), await begun(service, "a2")]
    assert await refused(service) == 429
    running += [await begun(other, "b1"), await begun(other, "b2")]
    assert [await refused(other), await refused(third)] == [429, 503]
    going.set()
    for answer in await asyncio.gather(*running):
        assert answer.whole
    for one in (service, other, third):
        assert (await Import(one, [a_line(f"last-{one.environment}")], queries[one.environment])()).whole


async def test_only_ndjson_is_taken(service: Service, query: dict[str, str]) -> None:
    for media_type in ("application/json", "text/plain", ""):
        refused = await Import(service, [a_line("a")], query, {"Content-Type": media_type})()
        assert (refused.status, refused.problem["code"]) == (415, "unsupported_media_type")
        assert refused.headers["accept"] == "application/x-ndjson"


async def test_equal_expiries_do_not_come_due_together(service: Service, query: dict[str, str]) -> None:
    def with_end(name: str, expires_at: str) -> bytes:
        return a_line(name, credentials={"access_token": "x", "refresh_token": name, "expires_at": expires_at})

    lines = [with_end(f"live{number}", "2090-01-01T00:00:00Z") for number in range(300)]
    lines += [with_end(f"gone{number}", "2020-01-01T00:00:00Z") for number in range(300)]
    assert (await Import(service, lines, query)()).statuses() == ["created"] * 600
    rows = await service.sql(
        "SELECT c.expires_at > now() AS live, count(DISTINCT date_trunc('second', l.next_refresh_at)) AS seconds,"
        " extract(epoch FROM max(l.next_refresh_at) - min(l.next_refresh_at)) AS wide, min(l.next_refresh_at) >= min(c.obtained_at) AS later"
        " FROM leases l JOIN credentials c USING (account_id) JOIN accounts a ON a.id = l.account_id"
        " WHERE a.environment = :e GROUP BY 1 ORDER BY 1",
        e=service.environment,
    )
    gone, live = rows
    assert gone["seconds"] > 100
    assert 240 < gone["wide"] <= 300
    assert live["seconds"] == 300
    assert gone["later"]
    assert live["later"]


async def test_out_of_a_running_system_accounts_come_due_as_their_tokens_end(
    service: Service, query: dict[str, str]
) -> None:
    """Once enough have come to tell: of tokens that have anything left none is refreshed before half of that has passed."""
    lives = [60 + 3_540 * (number * 0.618 % 1) for number in range(600)]
    lines = [
        a_line(
            f"{number}", credentials={"access_token": "at", "refresh_token": f"rt-{number}", "expires_in": int(life_s)}
        )
        for number, life_s in enumerate(lives)
    ]
    answer = await Import(service, lines, query)()
    assert answer.statuses() == ["created"] * len(lines)
    rows = await service.sql(
        "SELECT extract(epoch FROM l.next_refresh_at - c.obtained_at) / extract(epoch FROM c.expires_at - c.obtained_at) AS share FROM accounts AS a"
        " JOIN leases AS l ON l.account_id = a.id JOIN credentials AS c ON c.account_id = a.id"
        " WHERE a.environment = :e ORDER BY a.id",
        e=service.environment,
    )
    shares = [float(row["share"]) for row in rows]
    assert min(shares[:200]) < 0.2
    assert sum(share >= 0.5 for share in shares[300:]) > 0.9 * len(shares[300:])


async def test_the_token_of_an_account_that_came_expired_is_to_be_had_at_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    tokens = {"access_token": "old", "refresh_token": "late.1", "expires_at": "2020-01-01T00:00:00Z"}
    answer = await Import(service, [a_line("late", credentials=tokens)], {"source_id": source_id})()
    [result] = answer.results
    token = data(await admin.post(f"/v1/accounts/{result['id']}/token"))
    assert token["refreshed"]
    assert token["access_token"] != "old"
