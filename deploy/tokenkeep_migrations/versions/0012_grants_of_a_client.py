"""The same refresh token is taken into custody once for a client, not once for each of its sources.

Revision: 0012, after 0011. Rows that are there keep no client: they are found by their source's. Processes of the release before
write on as they did.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TABLE = "imported_grants"
_INDEX = "ix_imported_grants_fingerprint_client"


def upgrade() -> None:
    """Apply the revision."""
    op.add_column(_TABLE, sa.Column("client", sa.LargeBinary(), nullable=True))
    op.create_index(op.f(_INDEX), _TABLE, ["fingerprint", "client"], unique=True)


def downgrade() -> None:
    """Take it back."""
    op.drop_index(op.f(_INDEX), table_name=_TABLE)
    op.drop_column(_TABLE, "client")
