"""The data model.

Revision: 0001, after nothing.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index(op.f("ix_api_keys_environment_id"), "api_keys", ["environment", "id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_environment_id"), "audit_log", ["environment", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("subject_kind IN ('acc', 'src')", name=op.f("ck_events_subject_kind")),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_events_sequence")),
        sa.PrimaryKeyConstraint("subject", "sequence", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_position"), "events", ["position"], unique=False)
    op.create_index("ix_events_time", "events", ["time"], unique=False, postgresql_using="brin")
    op.create_table(
        "idempotency_keys",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("environment", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_outbox")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_cost_delay": "0"},
    )
    op.create_table(
        "outbox_shards",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_outbox_shards")),
    )
    op.create_table(
        "receipts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("presented_generation", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column(
            "received_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("disposition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "attempt_id", name=op.f("pk_receipts")),
    )
    op.create_table(
        "refresh_attempts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("presented_generation", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column(
            "leased_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('ok', 'refused', 'failed', 'not_sent', 'in_doubt', 'superseded')",
            name=op.f("ck_refresh_attempts_outcome"),
        ),
        sa.CheckConstraint("trigger IN ('schedule', 'demand')", name=op.f("ck_refresh_attempts_trigger")),
        sa.CheckConstraint(
            "(outcome IS NULL) = (settled_at IS NULL)", name=op.f("ck_refresh_attempts_settled_has_outcome")
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_refresh_attempts")),
        postgresql_with={"fillfactor": "90"},
    )
    op.create_index(
        "ix_refresh_attempts_leased_at", "refresh_attempts", ["leased_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("auth_type", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("client_secret_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("secret_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("event_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state = 'paused') = (paused_reason IS NOT NULL)", name=op.f("ck_sources_paused_has_reason")
        ),
        sa.CheckConstraint(
            "auth_type IN ('oauth2', 'oauth1', 'api_key', 'basic', 'bearer', 'custom')",
            name=op.f("ck_sources_auth_type"),
        ),
        sa.CheckConstraint("state IN ('active', 'paused')", name=op.f("ck_sources_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
    )
    op.create_index(op.f("ix_sources_environment_id"), "sources", ["environment", "id"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("auth_type", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("external_id_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("disabled_detail", sa.Text(), nullable=True),
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("disabled_by", sa.Text(), nullable=True),
        sa.Column("health", sa.Text(), server_default=sa.text("'healthy'"), nullable=False),
        sa.Column("custody", sa.Text(), nullable=False),
        sa.Column("last_error_reason", sa.Text(), nullable=True),
        sa.Column("last_error_http_status", sa.Integer(), nullable=True),
        sa.Column("last_error_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "properties", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state = 'disabled') = (disabled_reason IS NOT NULL)", name=op.f("ck_accounts_disabled_has_reason")
        ),
        sa.CheckConstraint(
            "auth_type IN ('oauth2', 'oauth1', 'api_key', 'basic', 'bearer', 'custom')",
            name=op.f("ck_accounts_auth_type"),
        ),
        sa.CheckConstraint("custody IN ('held', 'released', 'none')", name=op.f("ck_accounts_custody")),
        sa.CheckConstraint(
            "disabled_reason IN ('revoked', 'expired', 'uninstalled', 'released', 'by_operator', 'in_doubt', 'source_deleted')",
            name=op.f("ck_accounts_disabled_reason"),
        ),
        sa.CheckConstraint("health IN ('healthy', 'failing')", name=op.f("ck_accounts_health")),
        sa.CheckConstraint("state IN ('pending', 'active', 'disabled')", name=op.f("ck_accounts_state")),
        sa.CheckConstraint(
            "(last_error_reason IS NULL) = (last_error_at IS NULL)", name=op.f("ck_accounts_last_error_is_whole")
        ),
        sa.CheckConstraint(
            "NOT external_id_verified OR external_id IS NOT NULL", name=op.f("ck_accounts_verified_has_external_id")
        ),
        sa.CheckConstraint(
            "num_nonnulls(disabled_reason, disabled_at, disabled_by) IN (0, 3)",
            name=op.f("ck_accounts_disabled_is_whole"),
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_accounts_source_id_sources")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_index(
        op.f("ix_accounts_environment_external_id"), "accounts", ["environment", "external_id"], unique=False
    )
    op.create_index(op.f("ix_accounts_environment_id"), "accounts", ["environment", "id"], unique=False)
    op.create_index(
        "ix_accounts_metadata",
        "accounts",
        ["metadata"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
    op.create_index(op.f("ix_accounts_source_id_id"), "accounts", ["source_id", "id"], unique=False)
    op.create_table(
        "account_identities",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_identities_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "external_id", name=op.f("pk_account_identities")),
    )
    op.create_index(op.f("ix_account_identities_account_id"), "account_identities", ["account_id"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("installed_fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("access_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("token_type", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("obtained_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("refresh_token_expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_refreshed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "epoch > 0 AND generation > 0 AND installed_fence >= 0", name=op.f("ck_credentials_versions")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_credentials_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_credentials")),
        postgresql_with={"fillfactor": "75"},
    )
    op.create_table(
        "imported_grants",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_imported_grants_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "fingerprint", name=op.f("pk_imported_grants")),
    )
    op.create_index(op.f("ix_imported_grants_account_id"), "imported_grants", ["account_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("phase", sa.Text(), server_default=sa.text("'idle'"), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("presented_generation", sa.BigInteger(), nullable=True),
        sa.Column("obtained_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("next_refresh_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("not_before", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("demanded_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("doubts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("doubt_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("event_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("(phase = 'idle') = (attempt_id IS NULL)", name=op.f("ck_leases_attempt_while_held")),
        sa.CheckConstraint("(phase = 'idle') = (lease_until IS NULL)", name=op.f("ck_leases_until_while_held")),
        sa.CheckConstraint("phase = 'idle' OR due_at IS NOT NULL", name=op.f("ck_leases_held_is_looked_after")),
        sa.CheckConstraint("phase IN ('idle', 'leased', 'sent', 'doubt')", name=op.f("ck_leases_phase")),
        sa.CheckConstraint(
            "phase NOT IN ('sent', 'doubt') OR (sent_at IS NOT NULL AND presented_generation IS NOT NULL)",
            name=op.f("ck_leases_sent_is_recorded"),
        ),
        sa.CheckConstraint(
            "fence >= 0 AND epoch > 0 AND doubts >= 0 AND consecutive_failures >= 0", name=op.f("ck_leases_counters")
        ),
        sa.CheckConstraint(
            "next_refresh_at IS NULL OR due_at IS NOT NULL", name=op.f("ck_leases_owed_is_looked_after")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_leases_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_leases")),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "1000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_leases_due_at", "leases", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.execute("INSERT INTO outbox_shards (shard) SELECT generate_series(0, 15)")


def downgrade() -> None:
    """Take the revision back."""
    op.drop_index("ix_leases_due_at", table_name="leases", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_table("leases")
    op.drop_index(op.f("ix_imported_grants_account_id"), table_name="imported_grants")
    op.drop_table("imported_grants")
    op.drop_table("credentials")
    op.drop_index(op.f("ix_account_identities_account_id"), table_name="account_identities")
    op.drop_table("account_identities")
    op.drop_index(op.f("ix_accounts_source_id_id"), table_name="accounts")
    op.drop_index(
        "ix_accounts_metadata",
        table_name="accounts",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
    op.drop_index(op.f("ix_accounts_environment_id"), table_name="accounts")
    op.drop_index(op.f("ix_accounts_environment_external_id"), table_name="accounts")
    op.drop_table("accounts")
    op.drop_index(op.f("ix_sources_environment_id"), table_name="sources")
    op.drop_table("sources")
    op.drop_index("ix_refresh_attempts_leased_at", table_name="refresh_attempts", postgresql_using="brin")
    op.drop_table("refresh_attempts")
    op.drop_table("receipts")
    op.drop_table("outbox_shards")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_events_time", table_name="events", postgresql_using="brin")
    op.drop_index(op.f("ix_events_position"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_audit_log_environment_id"), table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_index(op.f("ix_api_keys_environment_id"), table_name="api_keys")
    op.drop_table("api_keys")
