"""The tables as they are made: like the models, strict about states, with room for partitions."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.adapters.postgres.schema import Base
from tokenkeep.domain.secret import Secret

ACCOUNT_COLUMNS = {"account_id", "subject", "id"}
GROWS_WITH_THE_FLEET = ("accounts", "credentials", "leases", "refresh_attempts", "receipts", "events")


@pytest.fixture(scope="module")
def migrated(postgres_url: str) -> str:
    assert migrate(Secret(postgres_url)) == head_revision()
    return postgres_url


@pytest.fixture
async def engine(migrated: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(Secret(migrated))
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is rolled back, with one source and one account in it."""
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "INSERT INTO sources (id, environment, provider, name, auth_type, key_id, wrapped_key, scopes, options) "
                "VALUES ('00000000-0000-7000-8000-000000000001', 'e', 'p', 'n', 'oauth2', 'k', '', '{}', '{}')"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO accounts (id, source_id, environment, provider, auth_type, state, custody) VALUES "
                "('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 'e', 'p', 'oauth2',"
                " 'active', 'held')"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO leases (account_id, source_id) VALUES "
                "('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001')"
            )
        )
        yield connection
        await connection.rollback()


async def test_the_revisions_make_what_the_models_say(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_twice_and_at_once_is_harmless(migrated: str) -> None:
    revisions = await asyncio.gather(*(asyncio.to_thread(migrate, Secret(migrated)) for _ in range(3)))
    assert set(revisions) == {head_revision()}


@pytest.mark.parametrize("name", GROWS_WITH_THE_FLEET)
def test_what_grows_with_the_fleet_can_be_partitioned_by_account(name: str) -> None:
    table = Base.metadata.tables[name]
    for constraint in table.constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint):
            columns = {column.name for column in constraint.columns}
            assert columns & ACCOUNT_COLUMNS, f"{name}: {sorted(columns)} leaves the account out"
    for index in table.indexes:
        assert not index.unique


@pytest.mark.parametrize(
    "impossible",
    [
        "UPDATE accounts SET state = 'asleep'",
        "UPDATE accounts SET state = 'disabled'",
        "UPDATE accounts SET disabled_reason = 'revoked'",
        "UPDATE accounts SET state = 'disabled', disabled_reason = 'timeout', disabled_at = now(), disabled_by = 'x'",
        "UPDATE accounts SET external_id_verified = true",
        "UPDATE leases SET phase = 'leased'",
        "UPDATE leases SET phase = 'sent', attempt_id = gen_random_uuid(), lease_until = now(), due_at = now()",
        "UPDATE leases SET phase = 'leased', attempt_id = gen_random_uuid(), lease_until = now()",
        "UPDATE leases SET attempt_id = gen_random_uuid()",
        "UPDATE leases SET next_refresh_at = now()",
        "UPDATE leases SET doubts = -1",
        "UPDATE sources SET state = 'paused'",
    ],
)
async def test_the_database_itself_refuses_states_that_cannot_be(connection: AsyncConnection, impossible: str) -> None:
    with pytest.raises(IntegrityError):
        await connection.execute(text(impossible))


async def test_leasing_and_writing_ahead_rewrite_no_index(connection: AsyncConnection) -> None:
    indexed = await connection.execute(
        text(
            "SELECT DISTINCT a.attname FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY(i.indkey) WHERE i.indrelid = 'leases'::regclass"
        )
    )
    assert {row.attname for row in indexed} == {"account_id", "due_at"}
    predicates = await connection.execute(
        text("SELECT pg_get_expr(indpred, indrelid) AS p FROM pg_index WHERE indrelid = 'leases'::regclass")
    )
    assert {row.p for row in predicates} == {None, "(due_at IS NOT NULL)"}


async def test_the_due_scan_uses_its_index(connection: AsyncConnection) -> None:
    for plan_type in ("seqscan", "bitmapscan"):
        await connection.execute(text(f"SET LOCAL enable_{plan_type} = off"))
    plan = await connection.execute(
        text(
            "EXPLAIN SELECT account_id FROM leases WHERE due_at <= statement_timestamp() AND phase = 'idle' "
            "AND next_refresh_at IS NOT NULL ORDER BY due_at LIMIT 1000 FOR UPDATE SKIP LOCKED"
        )
    )
    assert "Index Scan using ix_leases_due_at" in "\n".join(row[0] for row in plan)
