"""Since when the refresh of an attempt was due, and where the trace of an event goes on.

Revision: 0020, after 0019. The release before names its columns when it writes, and leaves these empty.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("refresh_attempts", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("events", sa.Column("traceparent", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("events", "traceparent")
    op.drop_column("refresh_attempts", "due_at")
