"""What is read at every request is planned once, however many ask at a time."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from tokenkeep.adapters.postgres.api_keys import PostgresKeyLookup
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.token_reads import PostgresTokenReads
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret

_PLANS = """
SELECT custom_plans, generic_plans FROM pg_prepared_statements
 WHERE statement LIKE '%unnest($1::' || $1::text || '[])%' AND statement NOT LIKE '%pg_prepared%'
"""
# PostgreSQL plans a statement for its arguments so many times before it looks whether one plan does for all.
_TRIED = 5


@pytest.fixture
async def database(feed_url: str) -> AsyncIterator[Database]:
    """One connection, so that all statements are prepared on it."""
    opened = Database(create_engine(Secret(feed_url), pool_size=1))
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("kind", "reads", "key"),
    [
        ("uuid", PostgresTokenReads, lambda: AccountId(uuid4())),
        ("bytea", PostgresKeyLookup, lambda: uuid4().bytes),
    ],
)
async def test_a_read_of_few_keys_keeps_its_plan(
    database: Database, kind: str, reads: Callable[[Database], Any], key: Callable[[], Any]
) -> None:
    read = reads(database)
    for _ in range(20):
        assert await read(key()) is None
    assert [tuple(row) for row in await database.fetch(_PLANS, kind)] == [(_TRIED, 20 - _TRIED)]
