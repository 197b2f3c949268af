"""The tables, as SQLAlchemy models.

What stays the same by design:

- The narrow, churning row (`leases`) is apart from what is wide (`accounts`) and from what is secret (`credentials`).
  Its only index besides the key is the one on `due_at`; taking a lease and writing ahead touch no indexed column, so
  PostgreSQL updates them in place (HOT), for which the fill factor leaves room.
- Whatever grows with the fleet has the account's (or subject's) id in its primary key and in every unique
  constraint, so that it can be partitioned by hash of that id. Uniqueness of external ids has a table of its own.
- States are texts with CHECK constraints: a new value is an expand/contract migration, not an ALTER TYPE.
"""

from tokenkeep.adapters.postgres.schema.access import (
    ApiKeyRow,
    AuditRow,
    ConsoleSessionRow,
    IdempotencyRow,
    InstanceKeyRow,
)
from tokenkeep.adapters.postgres.schema.accounts import (
    AccountIdentityRow,
    AccountRow,
    AccountVerificationRow,
    ImportedGrantRow,
)
from tokenkeep.adapters.postgres.schema.arrivals import ConnectSessionRow, ImportChunkRow, ImportRow
from tokenkeep.adapters.postgres.schema.custody import AttemptRow, CredentialRow, LeaseRow, ReceiptRow
from tokenkeep.adapters.postgres.schema.events import (
    SHARDS,
    EventFloorRow,
    EventRow,
    OutboxMarkRow,
    OutboxRow,
    OutboxShardRow,
)
from tokenkeep.adapters.postgres.schema.inbox import InboxEventRow
from tokenkeep.adapters.postgres.schema.keyring import KeyringHolderRow
from tokenkeep.adapters.postgres.schema.metadata import NOW, Base
from tokenkeep.adapters.postgres.schema.sources import ProviderNoticeRow, RevocationRow, SourceRow
from tokenkeep.adapters.postgres.schema.webhooks import (
    WebhookCursorRow,
    WebhookDeliveryRow,
    WebhookLaneRow,
    WebhookRow,
    WebhookSecretRow,
)
from tokenkeep.adapters.postgres.schema.withdrawal import ReleaseRow, RevocationHostRow, RevocationRequestRow

__all__ = [
    "NOW",
    "SHARDS",
    "AccountIdentityRow",
    "AccountRow",
    "AccountVerificationRow",
    "ApiKeyRow",
    "AttemptRow",
    "AuditRow",
    "Base",
    "ConnectSessionRow",
    "ConsoleSessionRow",
    "CredentialRow",
    "EventFloorRow",
    "EventRow",
    "IdempotencyRow",
    "ImportChunkRow",
    "ImportRow",
    "ImportedGrantRow",
    "InboxEventRow",
    "InstanceKeyRow",
    "KeyringHolderRow",
    "LeaseRow",
    "OutboxMarkRow",
    "OutboxRow",
    "OutboxShardRow",
    "ProviderNoticeRow",
    "ReceiptRow",
    "ReleaseRow",
    "RevocationHostRow",
    "RevocationRequestRow",
    "RevocationRow",
    "SourceRow",
    "WebhookCursorRow",
    "WebhookDeliveryRow",
    "WebhookLaneRow",
    "WebhookRow",
    "WebhookSecretRow",
]
