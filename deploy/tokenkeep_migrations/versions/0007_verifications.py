"""Verifications: what came of asking providers about accounts' credentials.

Revision: 0007, after 0006. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "account_verifications",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column(
            "at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "result IN ('confirmed', 'rejected', 'unknown')", name=op.f("ck_account_verifications_result")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_account_verifications_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_verifications")),
    )


def downgrade() -> None:
    """Take it back. Which external ids are verified stays."""
    op.drop_table("account_verifications")
