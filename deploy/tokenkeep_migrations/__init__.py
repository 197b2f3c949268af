"""The database's history, as Alembic revisions. Expand first, contract a release later."""
