"""Imports: who goes on with one, how far it has come, what became of its lines."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.application.import_progress import ImportChunk, ImportProgress, NewImport
from tokenkeep.domain.credential import SealedKey

# Waits for a batch of the former holder that is under way; after that he finds that he holds it no more.
_BEGIN = text("""
INSERT INTO imports AS i (id, environment, key, source, holder, key_id, wrapped_key, digest_key)
VALUES (:id, :environment, :key, :source, :holder, :key_id, :wrapped_key, :digest_key)
ON CONFLICT (environment, key) DO UPDATE SET holder = excluded.holder, progressed_at = clock_timestamp()
 WHERE i.source IS NOT DISTINCT FROM excluded.source
RETURNING id, lines, overdue, finished, created_at, key_id, wrapped_key, digest_key
""")
_LOCK = text("SELECT lines FROM imports WHERE id = :id AND holder = :holder FOR UPDATE")
_ADVANCE = text("""
UPDATE imports SET lines = :lines, overdue = :overdue, progressed_at = clock_timestamp() WHERE id = :id
""")
_KEEP = text("""
INSERT INTO import_chunks (import_id, first_line, digests, results) VALUES (:id, :first_line, :digests, :results)
""")
_CHUNK = text("""
SELECT first_line, digests, results FROM import_chunks
 WHERE import_id = :id AND first_line <= :line ORDER BY first_line DESC LIMIT 1
""")
_FINISH = text("UPDATE imports SET finished = true WHERE id = :id AND holder = :holder")
_FORGET = text("DELETE FROM imports WHERE id = :id")


class PostgresImports:
    """Imports over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, wanted: NewImport) -> ImportProgress | None:
        """The import as it stands, held by this request from now on; None if its key is another import's."""
        parameters = {
            "id": wanted.id,
            "environment": wanted.environment,
            "key": wanted.key,
            "source": wanted.source,
            "holder": wanted.holder,
            "key_id": wanted.sealed_key.key_id,
            "wrapped_key": wanted.sealed_key.wrapped,
            "digest_key": wanted.digest_key,
        }
        row = (await self._connection.execute(_BEGIN, parameters)).first()
        if row is None:
            return None
        return ImportProgress(
            id=row.id,
            lines=row.lines,
            overdue=row.overdue,
            finished=row.finished,
            began_at=row.created_at,
            sealed_key=SealedKey(row.key_id, row.wrapped_key),
            digest_key=row.digest_key,
        )

    async def lock(self, import_id: UUID, holder: UUID) -> int | None:
        """How many lines are done, with the import's row locked; None if it has another holder."""
        lines: int | None = (
            await self._connection.execute(_LOCK, {"id": import_id, "holder": holder})
        ).scalar_one_or_none()
        return lines

    async def advance(self, import_id: UUID, chunk: ImportChunk, *, overdue: int) -> None:
        """Note that a chunk is done. The row is locked."""
        kept = {"first_line": chunk.first_line, "digests": chunk.digests, "results": chunk.results}
        await self._connection.execute(_KEEP, {"id": import_id, **kept})
        await self._connection.execute(_ADVANCE, {"id": import_id, "lines": chunk.end - 1, "overdue": overdue})

    async def chunk_with(self, import_id: UUID, line: int) -> ImportChunk | None:
        """The chunk that this line was done in."""
        row = (await self._connection.execute(_CHUNK, {"id": import_id, "line": line})).first()
        return None if row is None else ImportChunk(row.first_line, row.digests, row.results)

    async def finish(self, import_id: UUID, holder: UUID) -> None:
        """Note that there are no more lines."""
        await self._connection.execute(_FINISH, {"id": import_id, "holder": holder})

    async def forget(self, import_id: UUID) -> None:
        """Delete what is known of an import that nobody can go on with."""
        await self._connection.execute(_FORGET, {"id": import_id})
