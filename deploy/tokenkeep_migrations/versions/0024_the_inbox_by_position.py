"""What waits in the inbox is read along its positions.

Revision: 0024, after 0023. The release before does not use it. It is built beside those who write.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NAME, _TABLE = "ix_inbox_events_waiting", "inbox_events"


def upgrade() -> None:
    """Apply the revision."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(_NAME, table_name=_TABLE, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            _NAME, _TABLE, ["position"], postgresql_concurrently=True, postgresql_where=sa.text("outcome IS NULL")
        )


def downgrade() -> None:
    """Take it back."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(_NAME, table_name=_TABLE, postgresql_concurrently=True, if_exists=True)
