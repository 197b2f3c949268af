"""The stream `tokenkeep:events`: a copy of the events for consumers to read with groups of their own."""

from collections.abc import Sequence

import orjson
import redis.asyncio
from redis.exceptions import ResponseError

from tokenkeep.application.relay_events import Pending, StreamLost
from tokenkeep.domain.events import cloudevent
from tokenkeep.domain.ids import IdKind, format_id, new_id

STREAM = "tokenkeep:events"
_FENCES = "tokenkeep:events:fences"
_EPOCH = "tokenkeep:events:epoch"
# Redis itself refuses a relay whose number is old: a process that was stopped can't publish behind its successor's back.
_PUBLISH = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return redis.error_reply('LOST') end
local refused = {}
for i = 2, #ARGV, 6 do
  local shard, fence = ARGV[i], tonumber(ARGV[i + 1])
  local known = tonumber(redis.call('HGET', KEYS[2], shard) or '-1')
  if known > fence then
    refused[shard] = true
  else
    if known < fence then redis.call('HSET', KEYS[2], shard, ARGV[i + 1]) end
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i + 2], 'type', ARGV[i + 3], 'subject', ARGV[i + 4], 'event', ARGV[i + 5])
  end
end
local list = {}
for shard in pairs(refused) do list[#list + 1] = shard end
return list
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

    async def publish(self, fences: dict[int, int], pending: Sequence[Pending], *, epoch: str) -> set[int]:
        """Append these events; returns the shards that a younger relay has taken, whose events were not appended.

        Raises:
            StreamLost: The stream of this epoch is no more. Nothing was appended.
        """
        arguments: list[str | int | bytes] = [epoch]
        for one in pending:
            event = one.event
            arguments += [
                one.shard,
                fences[one.shard],
                format_id(IdKind.EVENT, event.id),
                str(event.type),
                format_id(event.subject_kind, event.subject),
                orjson.dumps(cloudevent(event)),
            ]
        try:
            refused = await self._publish(keys=[STREAM, _FENCES, _EPOCH], args=arguments)
        except ResponseError as error:
            if "LOST" in str(error):
                raise StreamLost from None
            raise
        return {int(shard) for shard in refused}

    async def epoch(self) -> str | None:
        """The present stream's name; None: Redis was flushed, or replaced by one that has never seen the stream."""
        name = await self._client.get(_EPOCH)
        return name.decode() if isinstance(name, bytes) else name

    async def begin(self) -> str:
        """Mark the stream as known; from now on events may be published. Returns its name: another's, if one was first."""
        name = new_id().hex
        former = await self._client.set(_EPOCH, name, nx=True, get=True)
        return former.decode() if isinstance(former, bytes) else name
