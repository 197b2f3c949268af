"""What a provider's own way of revoking takes: access tokens beside refresh tokens, or alone.

Revision: 0006, after 0005. Expands only: the release before runs on it as well. It takes a request without a refresh token for one
that it can't open, and leaves it to be tried again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TABLE = "revocation_requests"
_INDEXES = (["account_id"], ["source_id", "access_fingerprint"], ["source_id", "external_id"])


def _index(columns: list[str]) -> str:
    return str(op.f(f"ix_{_TABLE}_{'_'.join(columns)}"))


def upgrade() -> None:
    """Apply the revision. The table is short: what is in it is worked off."""
    op.add_column(_TABLE, sa.Column("access_ciphertext", sa.LargeBinary(), nullable=True))
    op.add_column(_TABLE, sa.Column("access_fingerprint", sa.LargeBinary(), nullable=True))
    op.add_column(_TABLE, sa.Column("access_ends_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.alter_column(_TABLE, "ciphertext", nullable=True)
    op.create_check_constraint(
        op.f("ck_revocation_requests_has_token"), _TABLE, "num_nonnulls(ciphertext, access_ciphertext) > 0"
    )
    for columns in _INDEXES:
        op.create_index(_index(columns), _TABLE, columns)


def downgrade() -> None:
    """Take it back. Grants that only an access token revokes are not revoked any more."""
    for columns in _INDEXES:
        op.drop_index(_index(columns), _TABLE)
    op.drop_constraint(op.f("ck_revocation_requests_has_token"), _TABLE, type_="check")
    op.execute("DELETE FROM revocation_requests WHERE ciphertext IS NULL")
    op.alter_column(_TABLE, "ciphertext", nullable=False)
    for column in ("access_ends_at", "access_fingerprint", "access_ciphertext"):
        op.drop_column(_TABLE, column)
