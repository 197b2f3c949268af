"""Alembic's entry: runs the revisions over the connection that `migrate` hands in, in one transaction."""

from alembic import context

from tokenkeep.adapters.postgres.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
