"""What is known of a refresh token's end, and what was told of it.

Revision: 0003, after 0002. Expands only: the release before runs on it as well. It leaves the new columns as they are; an end
that it moves is watched anew by the next settlement.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Apply the revision. Defaults are constants and nothing is checked, so no row is rewritten or read."""
    op.add_column(
        "credentials", sa.Column("refresh_end_derived", sa.Boolean(), server_default=sa.text("false"), nullable=True)
    )
    op.add_column("leases", sa.Column("watched_end", _TIME, nullable=True))
    op.add_column("leases", sa.Column("tell_at", _TIME, nullable=True))


def downgrade() -> None:
    """Take it back. What was told of an end is forgotten, and may be told again."""
    op.drop_column("leases", "tell_at")
    op.drop_column("leases", "watched_end")
    op.drop_column("credentials", "refresh_end_derived")
