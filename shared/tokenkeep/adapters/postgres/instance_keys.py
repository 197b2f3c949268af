"""Keys that all processes of an installation share, and that nobody else has. They live in the database."""

import secrets
from typing import Final

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.domain.secret import Secret

KEY_BYTES: Final = 32
_LINKS: Final = "connect_links"
_STORES: Final = "credential_stores"

# Whoever comes first makes it. A second statement reads it: that of a loser shows nothing, and sees no row of the winner's.
_MAKE = text("INSERT INTO instance_keys (name, key) VALUES (:name, :key) ON CONFLICT (name) DO NOTHING")
_READ = text("SELECT key FROM instance_keys WHERE name = :name")


class PostgresInstanceKey:
    """The key of this name. It never changes, so each process reads it once."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._known: Secret | None = None

    async def __call__(self) -> Secret:
        """The key, made now if there is none yet."""
        if self._known is None:
            self._known = await self._read()
        return self._known

    async def _read(self) -> Secret:
        async with self._database.reading() as connection:
            found = (await connection.execute(_READ, {"name": self._name})).scalar_one_or_none()
            if found is None:
                await connection.execute(_MAKE, {"name": self._name, "key": secrets.token_bytes(KEY_BYTES)})
                found = (await connection.execute(_READ, {"name": self._name})).scalar_one()
        return Secret(found.hex())


class PostgresLinkKey(PostgresInstanceKey):
    """The key of the connect links."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _LINKS)


class PostgresStoreKey(PostgresInstanceKey):
    """By its digest the installation's credential stores are known as its own."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _STORES)
