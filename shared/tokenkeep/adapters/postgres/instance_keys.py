"""Keys that all processes of an installation share, and that nobody else has. They live in the database."""

import secrets
from typing import Final

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.domain.secret import Secret

KEY_BYTES: Final = 32
_LINKS: Final = "connect_links"

# Whoever comes first makes it. A second statement reads it: that of a loser shows nothing, and sees no row of the winner's.
_MAKE = text("INSERT INTO instance_keys (name, key) VALUES (:name, :key) ON CONFLICT (name) DO NOTHING")
_READ = text("SELECT key FROM instance_keys WHERE name = :name")


class PostgresLinkKey:
    """The key of the connect links. It never changes, so each process reads it once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Secret | None = None

    async def __call__(self) -> Secret:
        """The key, made now if there is none yet."""
        if self._known is None:
            self._known = await self._read()
        return self._known

    async def _read(self) -> Secret:
        async with self._database.reading() as connection:
            found = (await connection.execute(_READ, {"name": _LINKS})).scalar_one_or_none()
            if found is None:
                await connection.execute(_MAKE, {"name": _LINKS, "key": secrets.token_bytes(KEY_BYTES)})
                found = (await connection.execute(_READ, {"name": _LINKS})).scalar_one()
        return Secret(found.hex())
