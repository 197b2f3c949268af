"""Imports that broke off, gone on with by their Idempotency-Key."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api_service import Service, data
from imports import Import, a_line
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep_api.lines import LONGEST_LINE, MOST_LINES

TOKEN_URL = "https://93.184.215.14/token"
KEY = {"Idempotency-Key": "import-1"}
NO_TOKEN: dict[str, Any] = {"credentials": {"access_token": "at", "expires_in": 3600}}
"""What no refresh token tells apart: only the key keeps it from being made twice."""


@pytest.fixture
async def query(service: Service) -> dict[str, str]:
    return {"source_id": await service.source(TOKEN_URL)}


def some_lines(number: int) -> list[bytes]:
    lines = [a_line(f"n{n}", **(NO_TOKEN if n % 3 else {})) for n in range(number)]
    for n in range(5, number, 50):
        lines[n] = b"not json\n"
    return lines


async def count(service: Service) -> int:
    rows = await service.sql("SELECT count(*) FROM accounts WHERE environment = :e", e=service.environment)
    return int(rows[0]["count"])


async def test_a_client_that_goes_away_keeps_what_is_done_and_goes_on_there(
    service: Service, query: dict[str, str]
) -> None:
    lines = some_lines(1_000)
    broken = await Import(service, lines[:700], query, KEY, leaves=True)()
    assert not broken.whole
    done = broken.results
    assert 0 < len(done) <= 700
    assert await count(service) == sum(one["status"] == "created" for one in done)
    whole = await Import(service, lines, query, KEY)()
    assert whole.whole
    assert whole.results[: len(done)] == done
    assert [one["status"] for one in whole.results] == [
        "rejected" if line == b"not json\n" else "created" for line in lines
    ]
    assert await count(service) == 1_000 - 20
    again = await Import(service, [b"".join(lines)], query, KEY)()
    assert again.results == whole.results
    assert await count(service) == 1_000 - 20


async def test_a_request_that_is_killed_in_the_middle_of_a_batch_is_gone_on_with(
    service: Service, query: dict[str, str]
) -> None:
    lines = some_lines(600)
    answered = asyncio.Event()

    async def note(_answered: bytes) -> None:
        answered.set()

    running = asyncio.create_task(Import(service, lines, query, KEY, on_answer=note)())
    await answered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    whole = await Import(service, lines, query, KEY)()
    assert whole.statuses().count("created") == 600 - 12
    assert await count(service) == 600 - 12


async def test_whoever_comes_with_the_key_takes_over_and_nothing_is_made_twice(
    service: Service, query: dict[str, str]
) -> None:
    lines = some_lines(500)
    answered, going = asyncio.Event(), asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield b"".join(lines[:100])
        await going.wait()
        yield b"".join(lines[100:])

    async def note(_answered: bytes) -> None:
        answered.set()

    former = asyncio.create_task(Import(service, hanging(), query, KEY, on_answer=note)())
    await answered.wait()
    latter = await Import(service, lines, query, KEY)()
    going.set()
    stopped = await former
    assert latter.whole
    assert not stopped.whole
    assert stopped.results[:-1] == latter.results[: len(stopped.results) - 1]
    assert stopped.results[-1]["code"] == "request_in_progress"
    assert await count(service) == 500 - 10


async def test_many_requests_of_one_key_at_once_make_each_account_once(service: Service, query: dict[str, str]) -> None:
    lines = some_lines(600)
    await asyncio.gather(*(Import(service, lines, query, KEY)() for _ in range(4)))
    whole = await Import(service, lines, query, KEY)()
    assert whole.statuses().count("created") == 600 - 12
    assert await count(service) == 600 - 12


@pytest.mark.parametrize("changed", [0, 3, MOST_LINES - 1, MOST_LINES, 599])
async def test_other_content_is_refused_at_the_first_line_that_differs(
    service: Service, query: dict[str, str], changed: int
) -> None:
    lines = some_lines(600)
    first = await Import(service, lines, query, KEY)()
    lines[changed] = a_line("other")
    other = await Import(service, [b"".join(lines)], query, KEY)()
    made = await count(service)
    if other.status == 409:
        assert changed == 0
        assert other.problem["code"] == "idempotency_key_reused"
    else:
        assert not other.whole
        assert other.results[:-1] == first.results[:changed]
        assert (other.results[-1]["line"], other.results[-1]["code"]) == (changed + 1, "idempotency_key_reused")
    assert made == 600 - 12


async def test_more_or_fewer_lines_are_other_content_too(service: Service, query: dict[str, str]) -> None:
    lines = some_lines(300)
    await Import(service, lines, query, KEY)()
    for other in ([*lines, a_line("more")], lines[:299]):
        refused = await Import(service, other, query, KEY)()
        assert not refused.whole
        assert (refused.results[-1]["line"], refused.results[-1]["code"]) == (
            min(len(other), 300) + 1,
            "idempotency_key_reused",
        )
    assert await count(service) == 300 - 6


async def test_another_source_is_another_import(service: Service, query: dict[str, str]) -> None:
    await Import(service, some_lines(3), query, KEY)()
    other = await Import(service, some_lines(3), {"source_id": await service.source(TOKEN_URL)}, KEY)()
    assert (other.status, other.problem["code"]) == (409, "idempotency_key_reused")
    malformed = await Import(service, some_lines(3), query, {"Idempotency-Key": "a b"})()
    assert (malformed.status, malformed.problem["field"]) == (422, "Idempotency-Key")


async def test_lines_that_are_too_long_are_told_apart_by_all_of_them(service: Service, query: dict[str, str]) -> None:
    long = b"x" * LONGEST_LINE + b"yz" * 700_000
    lines = [a_line("a"), long + b"\n", a_line("b")]
    first = await Import(service, lines, query, KEY)()
    assert first.statuses() == ["created", "rejected", "created"]
    cut = b"".join(lines)
    pieces = [cut[at : at + 50_001] for at in range(0, len(cut), 50_001)]
    assert (await Import(service, pieces, query, KEY)()).results == first.results
    lines[1] = long[:-1] + b"!\n"
    assert (await Import(service, lines, query, KEY)()).results[-1]["code"] == "idempotency_key_reused"


async def test_overdue_accounts_are_counted_on_when_an_import_goes_on(service: Service, query: dict[str, str]) -> None:
    past: dict[str, Any] = {"access_token": "x", "expires_at": "2020-01-01T00:00:00Z"}
    lines = [a_line("n", credentials={**past, "refresh_token": f"r{n}"}) for n in range(10)]
    await Import(service, lines[:5], query, KEY, leaves=True)()
    await Import(service, lines, query, KEY)()
    rows = await service.sql("SELECT overdue, lines FROM imports WHERE environment = :e", e=service.environment)
    assert [(row["overdue"], row["lines"]) for row in rows] == [(10, 10)]


async def test_what_is_kept_of_an_import_shows_nothing_of_its_lines(service: Service, query: dict[str, str]) -> None:
    await Import(service, some_lines(300), query, KEY)()
    await Import(service, [a_line("unnamed")], query)()
    rows = await service.sql(
        "SELECT i.*, c.* FROM imports i LEFT JOIN import_chunks c ON c.import_id = i.id WHERE environment = :e",
        e=service.environment,
    )
    assert {row["key"] for row in rows} == {"import-1"}
    assert len(rows) >= 2
    assert "canary" not in str(rows)


async def test_housekeeping_forgets_an_import_after_two_days(service: Service, query: dict[str, str]) -> None:
    await Import(service, some_lines(10), query, KEY)()
    await service.sql(
        "UPDATE imports SET progressed_at = now() - interval '47 hours' WHERE environment = :e", e=service.environment
    )
    await keep_house(service.foundation.database, audit_days=0)
    assert await service.sql("SELECT 1 FROM imports WHERE environment = :e", e=service.environment)
    await service.sql(
        "UPDATE imports SET progressed_at = now() - interval '49 hours' WHERE environment = :e", e=service.environment
    )
    await keep_house(service.foundation.database, audit_days=0)
    assert not await service.sql("SELECT 1 FROM imports WHERE environment = :e", e=service.environment)


async def test_the_key_of_an_import_belongs_to_its_environment(service: Service, query: dict[str, str]) -> None:
    await Import(service, some_lines(3), query, KEY)()
    async with service.client(**{"X-Tokenkeep-Environment": f"{service.environment}-b"}) as other:
        answer = await other.post(
            "/v1/accounts/import", content=b"{}\n", headers={**KEY, "Content-Type": "application/x-ndjson"}
        )
        assert answer.status_code == 200
        assert data(await other.get("/v1/accounts")) == []
