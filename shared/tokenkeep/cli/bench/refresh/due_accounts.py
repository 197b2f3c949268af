"""Accounts brought due, and whether all of them came out of it whole."""

from sqlalchemy import text

from tokenkeep.cli.bench.installation import Installation
from tokenkeep.domain.ids import SourceId

_DUE = text("""
UPDATE leases SET next_refresh_at = clock_timestamp() - make_interval(secs => 1), due_at = clock_timestamp()
 WHERE account_id IN (SELECT account_id FROM leases
                       WHERE source_id = :source AND phase = 'idle' AND next_refresh_at > clock_timestamp() LIMIT :count)
""")
_LEFT = text("""
SELECT count(*) FROM leases AS l JOIN credentials AS c USING (account_id)
 WHERE l.source_id = :source AND (l.phase <> 'idle' OR l.next_refresh_at <= clock_timestamp())
""")


async def bring_due(installation: Installation, source_id: SourceId, count: int) -> None:
    """Let so many of the source's accounts that are not due fall due now, all at once."""
    async with installation.foundation.database.transaction() as connection:
        await connection.execute(_DUE, {"source": source_id, "count": count})


async def leftovers(installation: Installation, source_id: SourceId) -> int:
    """How many accounts of the source are held by somebody, or due."""
    async with installation.foundation.database.reading() as connection:
        return int((await connection.execute(_LEFT, {"source": source_id})).scalar_one())
