"""Attempts and events are vacuumed when a fiftieth of them is dead.

Revision: 0023, after 0022. Parameters of storage: no release notices, and nobody who reads or writes a table waits for them.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    for table in ("refresh_attempts", "events"):
        op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    """Take it back."""
    for table in ("events", "refresh_attempts"):
        op.execute(f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor)")
