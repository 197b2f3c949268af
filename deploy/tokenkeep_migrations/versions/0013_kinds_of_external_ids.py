"""Accounts know which of its ids their provider told: ids of two kinds are never compared.

Revision: 0013, after 0012. Accounts of before have none, and are taken for what they were: their ids are compared as they are.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("accounts", sa.Column("external_id_kind", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("accounts", "external_id_kind")
