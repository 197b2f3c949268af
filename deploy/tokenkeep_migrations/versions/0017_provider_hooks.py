"""What providers' notices are proven with, whom they mean, and which of them were taken.

Revision: 0017, after 0016. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TIME = sa.TIMESTAMP(timezone=True)
_FORMER_ENDS = "(former_hook_secret_ciphertext IS NULL) = (former_hook_secret_until IS NULL)"


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("sources", sa.Column("hook_secret_ciphertext", sa.LargeBinary(), nullable=True))
    op.add_column("sources", sa.Column("former_hook_secret_ciphertext", sa.LargeBinary(), nullable=True))
    op.add_column("sources", sa.Column("former_hook_secret_until", _TIME, nullable=True))
    op.create_check_constraint(op.f("ck_sources_former_hook_secret_has_end"), "sources", _FORMER_ENDS)
    op.create_table(
        "provider_notices",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("believed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_provider_notices_source_id_sources"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "digest", name=op.f("pk_provider_notices")),
    )
    op.create_index(op.f("ix_provider_notices_source_id_received_at"), "provider_notices", ["source_id", "received_at"])
    op.create_index(
        op.f("ix_provider_notices_received_at"), "provider_notices", ["received_at"], postgresql_using="brin"
    )
    op.create_index(
        "ix_account_identities_prefix",
        "account_identities",
        ["source_id", "external_id"],
        postgresql_ops={"external_id": "text_pattern_ops"},
    )
    for mark in ("token_mark", "prefix_mark"):
        op.add_column("imported_grants", sa.Column(mark, sa.LargeBinary(), nullable=True))
        op.create_index(
            op.f(f"ix_imported_grants_source_id_{mark}"),
            "imported_grants",
            ["source_id", mark],
            postgresql_where=sa.text(f"{mark} IS NOT NULL"),
        )


def downgrade() -> None:
    """Take the revision back."""
    for mark in ("prefix_mark", "token_mark"):
        op.drop_index(op.f(f"ix_imported_grants_source_id_{mark}"), "imported_grants")
        op.drop_column("imported_grants", mark)
    op.drop_index("ix_account_identities_prefix", "account_identities")
    op.drop_table("provider_notices")
    op.drop_constraint(op.f("ck_sources_former_hook_secret_has_end"), "sources", type_="check")
    for column in ("former_hook_secret_until", "former_hook_secret_ciphertext", "hook_secret_ciphertext"):
        op.drop_column("sources", column)
