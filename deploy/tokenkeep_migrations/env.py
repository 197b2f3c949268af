"""Alembic's entry: runs the revisions over the connection that `migrate` hands in, each in a transaction of its own."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from tokenkeep.adapters.postgres.schema import Base


def restore(ctx: MigrationContext, *_: Any, **_named: Any) -> None:
    """A revision that waits for longer, to build an index beside writers, does so for itself alone."""
    assert ctx.connection is not None  # noqa: S101 - it is what we hand in
    ctx.connection.execute(text("RESET lock_timeout"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
    transactional_ddl=True,
    # Locks are given back after each, and one may step out of it to build an index beside writers (`autocommit_block`).
    transaction_per_migration=True,
    on_version_apply=restore,
)
with context.begin_transaction():
    context.run_migrations()
