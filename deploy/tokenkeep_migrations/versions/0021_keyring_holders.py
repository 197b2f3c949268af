"""Which process holds which keys of the keyring.

Revision: 0021, after 0020. The release before does not tell, and is not harmed.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "keyring_holders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("spool", sa.Text(), nullable=True),
        sa.Column("key_ids", ARRAY(sa.Text()), nullable=False),
        sa.Column("spooled_keys", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("current_since", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyring_holders")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("keyring_holders")
