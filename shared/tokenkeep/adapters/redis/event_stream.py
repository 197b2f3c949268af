"""The stream `tokenkeep:events`: a copy of the events for consumers to read with groups of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import ResponseError

from tokenkeep.application.relay_events import Pending, Reached, StreamLost
from tokenkeep.domain.events import cloudevent
from tokenkeep.domain.ids import IdKind, format_id, new_id

STREAM = "tokenkeep:events"
_FENCES = "tokenkeep:events:fences"
_EPOCH = "tokenkeep:events:epoch"
_MARKS = "tokenkeep:events:marks"
_REACHED = "tokenkeep:events:reached"
_BEGINNINGS = 3
# Redis itself refuses a relay whose number is old: a process that was stopped can't publish behind its successor's back.
# What it has of a shard is counted beside the stream, so that it shows when its data are those of an earlier moment.
# ARGV: the epoch; the number of shards; of each its number, fence and mark; of each event shard, position, id, type, subject, JSON.
_PUBLISH = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return redis.error_reply('LOST') end
local open, added, last = {}, {}, {}
local first = 3 + 3 * tonumber(ARGV[2])
for i = 3, first - 1, 3 do
  local shard, fence = ARGV[i], tonumber(ARGV[i + 1])
  local known = tonumber(redis.call('HGET', KEYS[2], shard) or '-1')
  if known <= fence then
    if tonumber(redis.call('HGET', KEYS[4], shard) or '0') < tonumber(ARGV[i + 2]) then return redis.error_reply('LOST') end
    open[shard] = ARGV[i + 1]
  end
end
for i = first, #ARGV, 6 do
  local shard = ARGV[i]
  if open[shard] then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i + 2], 'type', ARGV[i + 3], 'subject', ARGV[i + 4], 'event', ARGV[i + 5])
    added[shard] = (added[shard] or 0) + 1
    last[shard] = ARGV[i + 1]
  end
end
local marks = {}
for shard, count in pairs(added) do
  redis.call('HSET', KEYS[2], shard, open[shard])
  redis.call('HSET', KEYS[5], shard, last[shard])
  marks[#marks + 1] = shard
  marks[#marks + 1] = redis.call('HINCRBY', KEYS[4], shard, count)
end
return marks
"""

_FENCE = """
for i = 1, #ARGV, 2 do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '-1')
  if known < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return true
"""


class RedisEventStream:
    """Appends events in order, in one call for a whole batch."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._publish = client.register_script(_PUBLISH)
        self._fence = client.register_script(_FENCE)

    async def fence(self, fences: dict[int, int]) -> None:
        """Make these fencing numbers known: whoever comes with a lower one is refused."""
        arguments = [number for pair in fences.items() for number in pair]
        if arguments:
            await self._fence(keys=[_FENCES], args=arguments)

    async def fences(self) -> dict[int, int]:
        """The numbers that are known, by shards. Raises `RedisError` when Redis can't be asked."""
        known: Any = await self._client.hgetall(_FENCES)
        return {int(shard): int(fence) for shard, fence in known.items()}

    async def reached(self, shards: Iterable[int]) -> dict[int, Reached]:
        """How far the stream is in these shards."""
        wanted = [str(shard) for shard in shards]
        if not wanted:
            return {}
        pipeline: Any = self._client.pipeline(transaction=True)
        marks, positions = await pipeline.hmget(_MARKS, wanted).hmget(_REACHED, wanted).execute()
        return {
            int(shard): Reached(int(mark or 0), None if position is None else int(position))
            for shard, mark, position in zip(wanted, marks, positions, strict=True)
        }

    async def publish(
        self, fences: Mapping[int, int], pending: Sequence[Pending], *, epoch: str, marks: Mapping[int, int]
    ) -> dict[int, int]:
        """Append these events; returns the shards that took theirs, with how many events each has taken by now.

        The events of shards that a younger relay has taken are not appended.

        Raises:
            StreamLost: The stream of this epoch is no more, or has fewer events than these marks. Nothing was appended.
        """
        shards = {one.shard for one in pending}
        arguments: list[str | int | bytes] = [epoch, len(shards)]
        for shard in shards:
            arguments += [shard, fences[shard], marks.get(shard, 0)]
        for one in pending:
            event = one.event
            arguments += [
                one.shard,
                one.position,
                format_id(IdKind.EVENT, event.id),
                str(event.type),
                format_id(event.subject_kind, event.subject),
                orjson.dumps(cloudevent(event)),
            ]
        try:
            keys = [STREAM, _FENCES, _EPOCH, _MARKS, _REACHED]
            taken = await self._publish(keys=keys, args=arguments)
        except ResponseError as error:
            if "LOST" in str(error):
                raise StreamLost from None
            raise
        return {int(shard): int(mark) for shard, mark in zip(taken[::2], taken[1::2], strict=True)}

    async def epoch(self) -> str | None:
        """The present stream's name; None: Redis was flushed, or replaced by one that has never seen the stream."""
        name = await self._client.get(_EPOCH)
        return name.decode() if isinstance(name, bytes) else name

    async def begin(self) -> str:
        """Mark the stream as known; from now on events may be published. Returns its name: another's, if one was first.

        Raises:
            StreamLost: Redis forgets it again and again.
        """
        name = new_id().hex
        for _ in range(_BEGINNINGS):
            # Two commands: before Redis 7.0, SET takes NX or GET, and not both.
            if await self._client.set(_EPOCH, name, nx=True):
                return name
            former = await self.epoch()
            if former is not None:
                return former
        raise StreamLost
