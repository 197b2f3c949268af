"""The loop that takes events from the Redis stream `tokenkeep:inbox` into the database."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from tokenkeep.adapters.redis.inbox_stream import Entry, RedisInboxStream
from tokenkeep.application.accept_events import AcceptEvents, Letter, ReceptionStatus
from tokenkeep.application.inbox import STREAM_SENDER
from tokenkeep.domain.ids import new_correlation_id

RECLAIM_AFTER = timedelta(seconds=5)
"""How long an entry lies with a consumer before another one takes it over. Both may be at it then: one finds duplicates."""

_BATCH = 500
_BLOCK = timedelta(seconds=1)
_PAUSE_S = 1.0

_log = structlog.get_logger("tokenkeep.scheduler")


class InboxIntake:
    """Reads in bounded batches, as fast as the database takes them: what is not read waits in Redis.

    A crash between the acceptance and the acknowledgement has the entries come again, and they are duplicates then.
    """

    def __init__(self, stream: RedisInboxStream, accept: AcceptEvents) -> None:
        self._stream = stream
        self._accept = accept

    async def run(self) -> None:
        """Take what comes, until cancelled. While Redis or the database is away, try again."""
        while True:  # bounded by the process's life
            try:
                await self.take()
            except Exception as error:  # noqa: BLE001 - whatever failed, what was read is not acknowledged and comes again
                _log.warning("inbox_postponed", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_S)

    async def take(self, *, block: timedelta = _BLOCK) -> int:
        """One batch: what was left lying, else what is new. Returns how many entries that were."""
        entries = await self._stream.unfinished(_BATCH) or await self._stream.new(_BATCH, block=block)
        if entries:
            await self._receive(entries)
        return len(entries)

    async def _receive(self, entries: Sequence[Entry]) -> None:
        correlation_id = new_correlation_id()
        letter = Letter(STREAM_SENDER, None, correlation_id)
        receptions = await self._accept([entry.document for entry in entries], letter)
        done, dead = [], []
        for entry, reception in zip(entries, receptions, strict=True):
            if reception.status is ReceptionStatus.REJECTED:
                dead.append((entry, f"{reception.code}: {reception.detail}", reception.field))
            else:
                done.append(entry)
        await self._stream.finish(done, dead)
        _log.info("inbox_taken", accepted=len(done), dead=len(dead), correlation_id=correlation_id)
