"""The audit trail is looked through by target and by actor.

Revision: 0009, after 0008. Expands only: the release before runs on it as well. Whoever writes an audit entry waits while the
indexes are built.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    for column in ("target", "actor"):
        op.create_index(op.f(f"ix_audit_log_environment_{column}_id"), "audit_log", ["environment", column, "id"])


def downgrade() -> None:
    """Take it back."""
    for column in ("actor", "target"):
        op.drop_index(op.f(f"ix_audit_log_environment_{column}_id"), table_name="audit_log")
