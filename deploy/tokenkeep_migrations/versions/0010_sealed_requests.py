"""What tells a request with an Idempotency-Key from others is sealed, like its answer: a digest of a password can be guessed.

Revision: 0010, after 0009. Forgets the keys of the last day: their requests were kept as plain digests, and can't be sealed
without the keyring. Processes of the release before can't create with such a key until they are replaced.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TABLE = "idempotency_keys"


def upgrade() -> None:
    """Apply the revision."""
    op.execute(sa.text("DELETE FROM idempotency_keys"))
    op.drop_column(_TABLE, "request_digest")
    op.add_column(_TABLE, sa.Column("request_ciphertext", sa.LargeBinary(), nullable=False))
    for column in ("key_id", "wrapped_key"):
        op.alter_column(_TABLE, column, nullable=False)


def downgrade() -> None:
    """Take it back."""
    op.execute(sa.text("DELETE FROM idempotency_keys"))
    for column in ("wrapped_key", "key_id"):
        op.alter_column(_TABLE, column, nullable=True)
    op.drop_column(_TABLE, "request_ciphertext")
    op.add_column(_TABLE, sa.Column("request_digest", sa.LargeBinary(), nullable=False))
