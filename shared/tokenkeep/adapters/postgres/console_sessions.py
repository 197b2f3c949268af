"""Sessions of the console, by the hash of their token."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.application.console_sessions import ConsoleSession
from tokenkeep.domain.credential import SealedKey

_ADD = text("""
INSERT INTO console_sessions (token_hash, owner, environment, key_id, wrapped_key, key_hash_ciphertext, expires_at)
VALUES (:token_hash, :owner, :environment, :key_id, :wrapped_key, :key_hash_ciphertext, :expires_at)
""")
_FIND = text("""
SELECT token_hash, owner, environment, key_id, wrapped_key, key_hash_ciphertext, expires_at
  FROM console_sessions WHERE token_hash = :token_hash AND expires_at > statement_timestamp()
""")
_END = text("DELETE FROM console_sessions WHERE token_hash = :token_hash")


class PostgresConsoleSessions:
    """Sessions over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def now(self) -> datetime:
        """The database's clock."""
        moment: datetime = (await self._connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        return moment

    async def add(self, session: ConsoleSession) -> None:
        """A new session."""
        await self._connection.execute(
            _ADD,
            {
                "token_hash": session.token_hash,
                "owner": session.owner,
                "environment": session.environment,
                "key_id": session.sealed_key.key_id,
                "wrapped_key": session.sealed_key.wrapped,
                "key_hash_ciphertext": session.key_hash_ciphertext,
                "expires_at": session.expires_at,
            },
        )

    async def find(self, token_hash: bytes) -> ConsoleSession | None:
        """A session that is not over."""
        row = (await self._connection.execute(_FIND, {"token_hash": token_hash})).first()
        if row is None:
            return None
        return ConsoleSession(
            token_hash=row.token_hash,
            owner=row.owner,
            environment=row.environment,
            sealed_key=SealedKey(row.key_id, row.wrapped_key),
            key_hash_ciphertext=row.key_hash_ciphertext,
            expires_at=row.expires_at,
        )

    async def end(self, token_hash: bytes) -> None:
        """There is no such session any more."""
        await self._connection.execute(_END, {"token_hash": token_hash})
