"""Alembic's entry: runs the revisions over the connection that `migrate` hands in, each in a transaction of its own."""

from alembic import context

from tokenkeep.adapters.postgres.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
    transactional_ddl=True,
    # Locks are given back after each, and one may step out of it to build an index beside writers (`autocommit_block`).
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
