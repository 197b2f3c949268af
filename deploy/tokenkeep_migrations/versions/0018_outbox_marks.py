"""How many events of each shard Redis has been seen to have, so that it shows when its data went back in time.

Revision: 0018, after 0017. A relay of the release before counts nothing; what it publishes is not missed by one that does.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "outbox_marks",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_outbox_marks")),
        postgresql_with={"fillfactor": "10"},
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("outbox_marks")
