"""What custody needs besides the lease: breakers and probes, doubts that end, releases, revocations.

Revision: 0002, after 0001. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TIME = postgresql.TIMESTAMP(timezone=True)
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Apply the revision."""
    _extend_sources()
    op.add_column("leases", sa.Column("suspected_at", _TIME, nullable=True))
    op.add_column("refresh_attempts", sa.Column("source_id", sa.Uuid(), nullable=True))
    op.add_column(
        "refresh_attempts", sa.Column("presentations", sa.Integer(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column("refresh_attempts", sa.Column("resolution", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_refresh_attempts_resolution"), "refresh_attempts", "resolution IN ('recovered', 'lost')"
    )
    op.drop_constraint(op.f("ck_refresh_attempts_trigger"), "refresh_attempts")
    op.create_check_constraint(
        op.f("ck_refresh_attempts_trigger"), "refresh_attempts", "trigger IN ('schedule', 'demand', 'probe')"
    )
    op.create_check_constraint(op.f("ck_receipts_disposition"), "receipts", "disposition IN ('orphan', 'tried')")
    _create_revocations()
    _create_releases()
    _create_revocation_requests()


def _extend_sources() -> None:
    op.add_column("sources", sa.Column("paused_at", _TIME, nullable=True))
    op.add_column("sources", sa.Column("proving", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("sources", sa.Column("probe_account_id", sa.Uuid(), nullable=True))
    op.add_column("sources", sa.Column("probe_at", _TIME, nullable=True))
    op.add_column("sources", sa.Column("probes", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("sources", sa.Column("waking", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("sources", sa.Column("rollback_accepted_at", _TIME, nullable=True))
    op.add_column("sources", sa.Column("revocations_confirmed_at", _TIME, nullable=True))
    op.create_check_constraint(
        op.f("ck_sources_probe_has_time"), "sources", "probe_account_id IS NULL OR probe_at IS NOT NULL"
    )


def _create_revocations() -> None:
    op.create_table(
        "source_revocations",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_source_revocations_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "account_id", name=op.f("pk_source_revocations")),
    )
    op.create_index(op.f("ix_source_revocations_source_id_at"), "source_revocations", ["source_id", "at"])


def _create_releases() -> None:
    op.create_table(
        "releases",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("released_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("confirm_before", _TIME, nullable=False),
        sa.Column("erased_at", _TIME, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_releases_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_releases")),
    )
    op.create_index(
        "ix_releases_confirm_before", "releases", ["confirm_before"], postgresql_where=sa.text("erased_at IS NULL")
    )


def _create_revocation_requests() -> None:
    op.create_table(
        "revocation_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column(
            "properties", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocation_requests")),
    )
    op.create_index(op.f("ix_revocation_requests_next_try_at"), "revocation_requests", ["next_try_at"])
    op.create_index(
        op.f("ix_revocation_requests_source_id_fingerprint"), "revocation_requests", ["source_id", "fingerprint"]
    )


def downgrade() -> None:
    """Take it back. What waits in these tables is lost: releases to be fetched, grants to be revoked."""
    for table in ("revocation_requests", "releases", "source_revocations"):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_receipts_disposition"), "receipts")
    op.drop_constraint(op.f("ck_refresh_attempts_trigger"), "refresh_attempts")
    op.execute("UPDATE refresh_attempts SET trigger = 'schedule' WHERE trigger = 'probe'")
    op.create_check_constraint(
        op.f("ck_refresh_attempts_trigger"), "refresh_attempts", "trigger IN ('schedule', 'demand')"
    )
    op.drop_constraint(op.f("ck_refresh_attempts_resolution"), "refresh_attempts")
    for column in ("resolution", "presentations", "source_id"):
        op.drop_column("refresh_attempts", column)
    op.drop_column("leases", "suspected_at")
    op.drop_constraint(op.f("ck_sources_probe_has_time"), "sources")
    for column in (
        "revocations_confirmed_at",
        "rollback_accepted_at",
        "waking",
        "probes",
        "probe_at",
        "probe_account_id",
        "proving",
        "paused_at",
    ):
        op.drop_column("sources", column)
