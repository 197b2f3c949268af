"""The sealed secrets that sources sign their refresh callouts with.

Revision: 0008, after 0007. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("sources", sa.Column("callout_secret_ciphertext", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Take the revision back."""
    op.drop_column("sources", "callout_secret_ciphertext")
