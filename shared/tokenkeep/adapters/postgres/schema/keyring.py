"""Which process holds which keys of the keyring (ADR 0047)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base


class KeyringHolderRow(Base):
    """A process that wraps and opens data keys, as it has told of itself last. Ids of keys, never a key.

    `key_ids` has the current key first; `current_since` is when the process told for the first time that it is. `spooled_keys` are
    those that answers in its spool are sealed under. A process that ends in order takes its row away.
    """

    __tablename__ = "keyring_holders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    process: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    spool: Mapped[str | None]
    key_ids: Mapped[list[str]]
    spooled_keys: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    current_since: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
