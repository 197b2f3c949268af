"""The inbox: events that services send, kept until they have had their effect, and on so that a repetition is known.

Revision: 0015, after 0014. Processes of the release before don't know the trigger `report`; they drop such hints, and find the
accounts that they were about by their rows.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TYPES = (
    "'tokenkeep.account.unauthorized', 'tokenkeep.account.refresh_requested', 'tokenkeep.account.revoked',"
    " 'tokenkeep.account.disable_requested', 'tokenkeep.account.enable_requested'"
)
_NOW = sa.text("clock_timestamp()")
_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "inbox_events",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("token_fingerprint", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("received_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.CheckConstraint(f"type IN ({_TYPES})", name=op.f("ck_inbox_events_type")),
        sa.CheckConstraint("outcome IN ('applied', 'moot', 'refused', 'failed')", name=op.f("ck_inbox_events_outcome")),
        sa.CheckConstraint(
            "(outcome IS NULL) = (settled_at IS NULL)", name=op.f("ck_inbox_events_settled_has_outcome")
        ),
        sa.PrimaryKeyConstraint("environment", "source", "id", name=op.f("pk_inbox_events")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_index(
        "ix_inbox_events_pending",
        "inbox_events",
        ["account_id", "position"],
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "ix_inbox_events_failed", "inbox_events", ["position"], postgresql_where=sa.text("outcome = 'failed'")
    )
    op.create_index("ix_inbox_events_received_at", "inbox_events", ["received_at"], postgresql_using="brin")
    op.add_column("credentials", sa.Column("rejected_generation", sa.BigInteger(), nullable=True))
    _allow_triggers("'schedule', 'demand', 'probe', 'report'")


def downgrade() -> None:
    """Take it back."""
    op.execute(sa.text("UPDATE refresh_attempts SET trigger = 'demand' WHERE trigger = 'report'"))
    _allow_triggers("'schedule', 'demand', 'probe'")
    op.drop_column("credentials", "rejected_generation")
    op.drop_table("inbox_events")


def _allow_triggers(values: str) -> None:
    name = op.f("ck_refresh_attempts_trigger")
    op.drop_constraint(name, "refresh_attempts", type_="check")
    op.create_check_constraint(name, "refresh_attempts", f"trigger IN ({values})")
