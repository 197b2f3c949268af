"""Connect: sessions in which end users connect accounts, and the key of the connect links.

Revision: 0004, after 0003. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TIME = postgresql.TIMESTAMP(timezone=True)
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Apply the revision."""
    _create_sessions()
    op.create_table(
        "instance_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint("length(key) = 32", name=op.f("ck_instance_keys_length")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_instance_keys")),
    )


def _create_sessions() -> None:
    op.create_table(
        "connect_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("link_hash", sa.LargeBinary(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("properties", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("state_hash", sa.LargeBinary(), nullable=True),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("result_hash", sa.LargeBinary(), nullable=True),
        sa.Column("redeemed_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('open', 'connected', 'failed')", name=op.f("ck_connect_sessions_state")),
        sa.CheckConstraint(
            "(state = 'failed') = (failure_code IS NOT NULL)", name=op.f("ck_connect_sessions_failed_has_code")
        ),
        sa.CheckConstraint(
            "(state = 'connected') = (result_hash IS NOT NULL)", name=op.f("ck_connect_sessions_connected_has_result")
        ),
        sa.CheckConstraint(
            "state <> 'connected' OR account_id IS NOT NULL", name=op.f("ck_connect_sessions_connected_has_account")
        ),
        sa.CheckConstraint(
            "state = 'open' OR num_nonnulls(state_hash, browser_hash, ciphertext) = 0",
            name=op.f("ck_connect_sessions_closed_is_bare"),
        ),
        sa.CheckConstraint(
            "(state_hash IS NULL) = (browser_hash IS NULL)", name=op.f("ck_connect_sessions_begun_is_whole")
        ),
        sa.CheckConstraint(
            "num_nonnulls(key_id, wrapped_key, ciphertext) IN (0, 3)",
            name=op.f("ck_connect_sessions_verifier_is_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_connect_sessions_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_connect_sessions_source_id_sources"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connect_sessions")),
        sa.UniqueConstraint("link_hash", name=op.f("uq_connect_sessions_link_hash")),
    )
    for column in ("account_id", "expires_at", "state_hash"):
        op.create_index(op.f(f"ix_connect_sessions_{column}"), "connect_sessions", [column])


def downgrade() -> None:
    """Take it back. Open sessions end, and every connect link that was ever told dies with its key."""
    op.drop_table("instance_keys")
    op.drop_table("connect_sessions")
