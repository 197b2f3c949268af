"""Keeps the stream `tokenkeep:events` within its bounds, and what its consumer groups have not read as long as they allow."""

from collections.abc import Callable
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

    def __init__(
        self, client: "redis.asyncio.Redis", keeping: Keeping, *, lost: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._keeping = keeping
        self._lost = lost

    async def __call__(self) -> int:
        """Drop what need not be kept; returns how many entries that were."""
        groups, now_ms = await self._groups(), await self._now_ms()
        first = self._keeping.first_kept(groups, now_ms=now_ms)
        dropped = await self._drop(minid=str(first)) + await self._drop(maxlen=self._keeping.entries)
        if dropped:
            await self._tell_losses(groups)
        return dropped

    async def unread(self) -> dict[str, timedelta]:
        """For how long the first entry has waited that a group has not read, or not acknowledged; zero if there is none.

        Groups of which nothing was heard for as long as entries are kept for everybody are left out.
        """
        groups, now_ms = await self._groups(), await self._now_ms()
        wanted = {group.name: group.wants for group in groups if self._keeping.counts(group)}
        return {
            name: timedelta(milliseconds=0 if wants is None else max(now_ms - wants.ms, 0))
            for name, wants in wanted.items()
        }

    async def _now_ms(self) -> int:
        seconds, micros = await self._client.time()
        return int(seconds * 1000 + micros // 1000)

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
        first = await self._first()
        return [await self._standing(group, first) for group in found]

    async def _first(self) -> EntryId | None:
        found: Any = await self._client.xrange(STREAM, count=1)
        return EntryId.parse(found[0][0].decode()) if found else None

    async def _standing(self, group: dict[str, Any], first: EntryId | None) -> GroupStanding:
        name: bytes = group["name"]
        consumers: Any = await self._client.xinfo_consumers(STREAM, name)
        silent = min((consumer["idle"] for consumer in consumers), default=None)
        return GroupStanding(
            name.decode(errors="replace"),
            None if first is None else await self._wants(name, group, first),
            None if silent is None else timedelta(milliseconds=silent),
        )

    async def _wants(self, name: bytes, group: dict[str, Any], first: EntryId) -> EntryId | None:
        """What was delivered and dropped before it was acknowledged stays pending. That is lost already, and told of."""
        if group["pending"]:
            pending: Any = await self._client.xpending_range(STREAM, name, min=str(first), max="+", count=1)
            if pending:
                return EntryId.parse(pending[0]["message_id"].decode())
        unread: Any = await self._client.xrange(STREAM, min=f"({group['last-delivered-id'].decode()}", count=1)
        return EntryId.parse(unread[0][0].decode()) if unread else None

    async def _tell_losses(self, groups: list[GroupStanding]) -> None:
        """Log the groups that have lost entries which they had not read: they can be had from the HTTP feed."""
        left = await self._first()
        for group in groups:
            if group.wants is not None and (left is None or group.wants < left):
                self._lost()
                _log.warning("stream_trimmed_unread", group=group.name, first_lost=str(group.wants))
