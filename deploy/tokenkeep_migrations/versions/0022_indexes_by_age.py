"""What is deleted when its time is over, and what was written lately, is found by ordered indexes.

Revision: 0022, after 0021. The release before finds the same rows by them. They are built beside those who write, which takes as
long as reading each table twice; if that is broken off, all of it is done again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_BY_AGE = (
    ("provider_notices", "received_at", None),
    ("inbox_events", "received_at", "outcome IS NOT NULL"),
    ("webhook_deliveries", "created_at", "state <> 'pending'"),
    ("refresh_attempts", "leased_at", None),
)
"""The largest comes last, so that little is done again if it is broken off."""


def upgrade() -> None:
    """Apply the revision."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        for table, column, where in _BY_AGE:
            op.drop_index(f"ix_{table}_age", table_name=table, postgresql_concurrently=True, if_exists=True)
            op.create_index(
                f"ix_{table}_age",
                table,
                [column],
                postgresql_concurrently=True,
                postgresql_where=None if where is None else sa.text(where),
            )
        for table, column, _ in _BY_AGE:
            op.drop_index(f"ix_{table}_{column}", table_name=table, postgresql_concurrently=True, if_exists=True)


def downgrade() -> None:
    """Take it back."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        for table, column, _ in _BY_AGE:
            name = f"ix_{table}_{column}"
            op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)
            op.create_index(name, table, [column], postgresql_using="brin", postgresql_concurrently=True)
            op.drop_index(f"ix_{table}_age", table_name=table, postgresql_concurrently=True, if_exists=True)
