"""Revocations are worked off host by host, and a request that is with its provider is known to be.

Revision: 0011, after 0010. Expands only: the release before runs on it as well.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_REQUESTS, _HOSTS = "revocation_requests", "revocation_hosts"
_BY_HOST = "ix_revocation_requests_host_next_try_at"
_BY_CLIENT = "ix_sources_provider_client_id"


def upgrade() -> None:
    """Apply the revision. Of requests that are there already the host is not known: each source counts as one."""
    op.add_column(_REQUESTS, sa.Column("host", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column(_REQUESTS, sa.Column("in_flight_until", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.execute(sa.text("UPDATE revocation_requests SET host = source_id::text"))
    op.create_index(op.f(_BY_HOST), _REQUESTS, ["host", "next_try_at"])
    op.create_table(
        _HOSTS,
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("free_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("timeouts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_revocation_hosts")),
    )
    op.create_index(op.f(_BY_CLIENT), "sources", ["provider", "client_id"])


def downgrade() -> None:
    """Take it back."""
    op.drop_index(op.f(_BY_CLIENT), "sources")
    op.drop_table(_HOSTS)
    op.drop_index(op.f(_BY_HOST), _REQUESTS)
    for column in ("in_flight_until", "host"):
        op.drop_column(_REQUESTS, column)
