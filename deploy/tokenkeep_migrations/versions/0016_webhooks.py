"""Webhooks: where events are delivered to, by what they are signed, and what is to be sent.

Revision: 0016, after 0015. Expands only: the release before runs on it as well, but its relay and its feed stop at an event about
a webhook, until they are replaced: enable and disable none before. Whoever writes an event waits while those that are there are
looked at.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")
_TIME = sa.TIMESTAMP(timezone=True)
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Apply the revision."""
    _make_webhooks()
    _make_deliveries()
    op.create_table(
        "webhook_cursor",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_webhook_cursor_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_cursor")),
    )
    op.execute(sa.text("INSERT INTO webhook_cursor (id, position) VALUES (1, 0)"))
    _allow_subjects("'acc', 'src', 'whk'")


def downgrade() -> None:
    """Take it back."""
    op.execute(sa.text("DELETE FROM outbox WHERE position IN (SELECT position FROM events WHERE subject_kind = 'whk')"))
    op.execute(sa.text("DELETE FROM events WHERE subject_kind = 'whk'"))
    _allow_subjects("'acc', 'src'")
    for table in ("webhook_cursor", "webhook_deliveries", "webhook_lanes", "webhook_secrets", "webhooks"):
        op.drop_table(table)


def _make_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("types", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("ordered", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("disabled_at", _TIME, nullable=True),
        sa.Column("heard_from", sa.BigInteger(), nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "disabled_reason IN ('by_operator', 'gone', 'failing')", name=op.f("ck_webhooks_disabled_reason")
        ),
        sa.CheckConstraint(
            "(disabled_reason IS NULL) = (disabled_at IS NULL)", name=op.f("ck_webhooks_disabled_has_time")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_environment_id"), "webhooks", ["environment", "id"])
    op.create_table(
        "webhook_secrets",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("valid_until", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_secrets_webhook_id_webhooks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("webhook_id", "version", name=op.f("pk_webhook_secrets")),
    )
    op.create_table(
        "webhook_lanes",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("wake_at", _TIME, nullable=True),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("failed_at", _TIME, nullable=True),
        sa.Column("rest_until", _TIME, nullable=True),
        sa.Column("delivered_at", _TIME, nullable=True),
        sa.Column("parking_through", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhook_lanes")),
        postgresql_with={"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index(
        op.f("ix_webhook_lanes_wake_at"),
        "webhook_lanes",
        ["wake_at"],
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )


def _make_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tried_at", _TIME, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed', 'parked')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.CheckConstraint("due_at IS NULL OR state = 'pending'", name=op.f("ck_webhook_deliveries_due_is_pending")),
        sa.PrimaryKeyConstraint("webhook_id", "position", name=op.f("pk_webhook_deliveries")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_index(
        "ix_webhook_deliveries_due", "webhook_deliveries", ["webhook_id", "due_at"], postgresql_where=_PENDING
    )
    op.create_index(
        "ix_webhook_deliveries_subject",
        "webhook_deliveries",
        ["webhook_id", "subject", "position"],
        postgresql_where=_PENDING,
    )
    op.create_index(
        "ix_webhook_deliveries_undelivered",
        "webhook_deliveries",
        ["webhook_id", "position"],
        postgresql_where=sa.text("state <> 'delivered'"),
    )
    op.create_index(op.f("ix_webhook_deliveries_webhook_id_event_id"), "webhook_deliveries", ["webhook_id", "event_id"])
    op.create_index("ix_webhook_deliveries_created_at", "webhook_deliveries", ["created_at"], postgresql_using="brin")


def _allow_subjects(kinds: str) -> None:
    name = op.f("ck_events_subject_kind")
    op.drop_constraint(name, "events", type_="check")
    op.create_check_constraint(name, "events", f"subject_kind IN ({kinds})")
