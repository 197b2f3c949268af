"""Revisions are expand/contract: the release before goes on beside them, and nobody waits for them."""

import pytest
from alembic.script import Script, ScriptDirectory

from revision_rules import HOT, complaints, last_change_of_a_hot_table, sql_of
from tokenkeep.adapters.postgres.migrate import alembic_config
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.adapters.postgres.schema import Base

EXEMPT = dict.fromkeys(
    ("0002", "0009", "0012", "0014", "0015", "0016", "0017"), "written before there was an installation to upgrade"
)
"""Revisions that the rules are not for, with the reason: of one that contracts, since which release nobody uses what it takes away."""

REVISIONS = {script.revision: script for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


@pytest.mark.parametrize("script", REVISIONS.values(), ids=lambda script: script.revision)
def test_a_revision_locks_no_hot_table_for_long_and_takes_nothing_from_the_release_before(script: Script) -> None:
    found = list(complaints(sql_of(script.module)))

    # An exemption that nobody needs would hide what is written into the revision next.
    assert bool(found) is (script.revision in EXEMPT), found


def test_processes_expect_the_revision_that_alembic_ends_with() -> None:
    assert head_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_exemptions_and_hot_tables_are_of_things_that_are_there() -> None:
    assert EXEMPT.keys() <= REVISIONS.keys()
    assert set(HOT) <= Base.metadata.tables.keys()


def test_what_revisions_do_is_read_from_them() -> None:
    first, latest = sql_of(REVISIONS["0001"].module), sql_of(REVISIONS["0020"].module)

    assert "CREATE TABLE accounts" in first
    assert "ALTER TABLE refresh_attempts ADD COLUMN due_at" in latest
    assert "CREATE INDEX ix_events_position ON events" in first


def test_how_a_table_is_stored_is_no_change_that_the_release_before_meets() -> None:
    assert "ALTER TABLE refresh_attempts SET (" in sql_of(REVISIONS["0023"].module)
    assert last_change_of_a_hot_table() < "0023"


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE accounts",
        "ALTER TABLE accounts DROP COLUMN custody",
        "ALTER TABLE events RENAME TO happenings",
        "ALTER TABLE leases RENAME COLUMN due_at TO due",
        "ALTER TABLE accounts ALTER COLUMN provider TYPE VARCHAR(9)",
        'ALTER TABLE "accounts" ALTER COLUMN health SET NOT NULL',
        "ALTER TABLE accounts ALTER COLUMN health DROP DEFAULT",
        "ALTER TABLE credentials ADD COLUMN kind TEXT NOT NULL",
        "ALTER TABLE credentials ADD COLUMN at TIMESTAMPTZ DEFAULT clock_timestamp() NOT NULL",
        "ALTER TABLE leases ADD CONSTRAINT c CHECK (fence > 0)",
        "ALTER TABLE outbox ADD CONSTRAINT f FOREIGN KEY (subject) REFERENCES accounts (id)",
        "CREATE INDEX i ON refresh_attempts (sent_at)",
        "CREATE UNIQUE INDEX i\n  ON public.refresh_attempts (id)",
        "DROP INDEX ix_leases_due_at",
        "LOCK TABLE outbox IN EXCLUSIVE MODE",
        "UPDATE events SET traceparent = ''",
        "SELECT 1; DELETE FROM receipts",
        "ALTER TABLE accounts ADD COLUMN kind TEXT; CREATE INDEX CONCURRENTLY i ON accounts (kind)",
    ],
)
def test_what_stops_others_or_breaks_the_release_before_is_found(sql: str) -> None:
    assert len(list(complaints(sql))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE accounts ADD COLUMN kind TEXT",
        "ALTER TABLE accounts ADD COLUMN kind TEXT DEFAULT 'x' NOT NULL",
        "ALTER TABLE leases ADD CONSTRAINT c CHECK (fence > 0) NOT VALID",
        "ALTER TABLE leases VALIDATE CONSTRAINT c",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON refresh_attempts (sent_at)",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "SET lock_timeout = 0; DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY i ON events (time);",
        "CREATE TABLE account_notes (id UUID PRIMARY KEY)",
        "CREATE TABLE receipts (id UUID); CREATE INDEX i ON receipts (id)",
        "ALTER TABLE console_sessions DROP COLUMN owner",
        "-- UPDATE events SET x = 1\nSELECT 1",
    ],
)
def test_what_the_release_before_can_live_with_is_let_be(sql: str) -> None:
    assert list(complaints(sql)) == []
