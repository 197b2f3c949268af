"""Events are read by environment and position, and what is no longer kept is told to those who would go on from there.

Revision: 0014, after 0013. Expands only: the release before runs on it as well. Whoever writes an event waits while the index
is built.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_index("ix_events_environment_position", "events", ["environment", "position"])
    op.create_table(
        "event_floors",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("environment", name=op.f("pk_event_floors")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("event_floors")
    op.drop_index("ix_events_environment_position", table_name="events")
