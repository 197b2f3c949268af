"""Keeps the stream `tokenkeep:events` within its bounds, and what its consumer groups have not read as long as they allow."""

from datetime import timedelta
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import ResponseError

from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.domain.stream_trimming import EntryId, GroupStanding, Keeping

_AT_ONCE = 10_000
_MOST_TIMES = 1_000

_log = structlog.get_logger("tokenkeep.stream_trimmer")


class StreamTrimmer:
    """Drops old entries, and says so where somebody had not read them."""

    def __init__(self, client: "redis.asyncio.Redis", keeping: Keeping) -> None:
        self._client = client
        self._keeping = keeping

    async def __call__(self) -> int:
        """Drop what need not be kept; returns how many entries that were."""
        seconds, micros = await self._client.time()
        groups = await self._groups()
        first = self._keeping.first_kept(groups, now_ms=seconds * 1000 + micros // 1000)
        dropped = await self._drop(minid=str(first)) + await self._drop(maxlen=self._keeping.entries)
        if dropped:
            await self._tell_losses(groups)
        return dropped

    async def _drop(self, **bound: Any) -> int:
        """Drop in small calls, so that nobody waits for Redis meanwhile. Whole nodes go: up to a hundred entries too many stay."""
        dropped = 0
        for _ in range(_MOST_TIMES):
            count: int = await self._client.xtrim(STREAM, approximate=True, limit=_AT_ONCE, **bound)
            dropped += count
            if not count:
                break
        return dropped

    async def _groups(self) -> list[GroupStanding]:
        try:
            found: Any = await self._client.xinfo_groups(STREAM)
        except ResponseError:
            return []  # there is no stream yet
        return [await self._standing(group) for group in found]

    async def _standing(self, group: dict[str, Any]) -> GroupStanding:
        name: bytes = group["name"]
        consumers: Any = await self._client.xinfo_consumers(STREAM, name)
        silent = min((consumer["idle"] for consumer in consumers), default=None)
        return GroupStanding(
            name.decode(errors="replace"),
            await self._wants(name, group),
            None if silent is None else timedelta(milliseconds=silent),
        )

    async def _wants(self, name: bytes, group: dict[str, Any]) -> EntryId | None:
        if group["pending"]:
            pending: Any = await self._client.xpending(STREAM, name)
            if pending["min"] is not None:
                return EntryId.parse(pending["min"].decode())
        unread: Any = await self._client.xrange(STREAM, min=f"({group['last-delivered-id'].decode()}", count=1)
        return EntryId.parse(unread[0][0].decode()) if unread else None

    async def _tell_losses(self, groups: list[GroupStanding]) -> None:
        """Log the groups that have lost entries which they had not read: they can be had from the HTTP feed."""
        left: Any = await self._client.xrange(STREAM, count=1)
        for group in groups:
            if group.wants is not None and (not left or group.wants < EntryId.parse(left[0][0].decode())):
                _log.warning("stream_trimmed_unread", group=group.name, first_lost=str(group.wants))
