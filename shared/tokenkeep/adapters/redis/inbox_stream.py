"""The stream `tokenkeep:inbox`: events that services put there themselves, read by one consumer group.

Whoever may write here is trusted for every environment. An entry is acknowledged, and deleted, once what it says is durable, so
what is in the stream is what still waits. What can't be taken goes to `tokenkeep:inbox:dead` in the transaction that
acknowledges it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import ResponseError

STREAM = "tokenkeep:inbox"
DEAD = "tokenkeep:inbox:dead"
_GROUP = "tokenkeep"
_FIELD = b"event"
_MOST_DEAD = 10_000
_NO_GROUP = "NOGROUP"
_GROUP_EXISTS = "BUSYGROUP"
# A consumer that is deleted takes what it has not acknowledged along; so nobody may read under its name in between.
_FORGET = """
local forgotten = 0
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
    forgotten = forgotten + 1
  end
end
return forgotten
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its field `event`, if it has one, and what that says as JSON; None if it can't be read."""

    id: bytes
    event: bytes | None
    document: object


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """An entry that could not be taken, and why. `event` is its field of that name, if it had one."""

    id: str
    reason: str
    field: str | None
    event: str | None


class RedisInboxStream:
    """The consumer group's side of the stream, under one consumer's name."""

    def __init__(self, client: "redis.asyncio.Redis", *, consumer: str, reclaim_after: timedelta) -> None:
        self._client: Any = client  # redis-py's types tell of blocking and awaitable answers alike
        self._consumer = consumer
        self._reclaim_ms = int(reclaim_after.total_seconds() * 1000)
        self._forget = client.register_script(_FORGET)

    async def unfinished(self, count: int) -> Sequence[Entry]:
        """What this consumer was given and has not acknowledged, and what others left lying for too long."""
        own = await self._read("0", count, None)
        if own:
            return own
        try:
            answer = await self._client.xautoclaim(
                STREAM, _GROUP, self._consumer, self._reclaim_ms, start_id="0-0", count=count
            )
        except ResponseError as error:
            if _NO_GROUP not in str(error):
                raise
            return ()
        return [_entry(*pair) for pair in answer[1] if pair[1] is not None]

    async def new(self, count: int, *, block: timedelta) -> Sequence[Entry]:
        """Entries that nobody was given yet; waits for the first one for as long as `block`."""
        return await self._read(">", count, int(block.total_seconds() * 1000))

    async def finish(self, done: Sequence[Entry], dead: Sequence[tuple[Entry, str, str | None]]) -> None:
        """Acknowledge entries; `dead` ones, each with its reason and the field at fault, are moved away."""
        if done:  # by themselves, and first: a full Redis takes no dead entry, and this makes room
            async with self._client.pipeline(transaction=True) as together:
                _forget(together, [entry.id for entry in done])
                await together.execute()
        if dead:
            async with self._client.pipeline(transaction=True) as together:
                for entry, reason, field in dead:
                    fields = {"reason": reason, "entry": entry.id}
                    fields |= {} if field is None else {"field": field}
                    fields |= {} if entry.event is None else {"event": entry.event}
                    together.xadd(DEAD, fields, maxlen=_MOST_DEAD, approximate=True)
                _forget(together, [entry.id for entry, _, _ in dead])
                await together.execute()

    async def lengths(self) -> tuple[int, int]:
        """How many entries are not taken yet, and how many dead ones there are."""
        return await self._client.xlen(STREAM), await self._client.xlen(DEAD)

    async def forget_consumers(self, idle: timedelta) -> int:
        """Forget consumers that have nothing and were silent for so long; returns how many."""
        try:
            forgotten: int = await self._forget(keys=[STREAM], args=[_GROUP, int(idle.total_seconds() * 1000)])
        except ResponseError as error:
            if _NO_GROUP not in str(error) and "no such key" not in str(error):
                raise
            return 0
        return forgotten

    async def _read(self, after: str, count: int, block_ms: int | None) -> Sequence[Entry]:
        try:
            answer = await self._client.xreadgroup(_GROUP, self._consumer, {STREAM: after}, count=count, block=block_ms)
        except ResponseError as error:
            if _NO_GROUP not in str(error):
                raise
            await self._make_group()
            return ()
        return [_entry(*pair) for _, entries in answer or () for pair in entries]

    async def _make_group(self) -> None:
        try:
            # From the beginning: what was written before the group was there, or after Redis was flushed, counts as well.
            await self._client.xgroup_create(STREAM, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if _GROUP_EXISTS not in str(error):
                raise


class RedisDeadEntries:
    """What could not be taken, for whoever tends it."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client: Any = client

    async def list(self, limit: int) -> Sequence[DeadEntry]:
        """Dead entries, oldest first."""
        return [_dead(*pair) for pair in await self._client.xrange(DEAD, count=limit)]

    async def retry(self, entry_id: str) -> bool:
        """Put an entry into the inbox again, once. False if there is no such one."""
        found = await self._client.xrange(DEAD, entry_id, entry_id)
        if not found:
            return False
        async with self._client.pipeline(transaction=True) as together:
            together.xadd(STREAM, {_FIELD: found[0][1].get(_FIELD, b"")})
            together.xdel(DEAD, entry_id)
            await together.execute()
        return True


def _forget(together: Any, ids: Sequence[bytes]) -> None:
    together.xack(STREAM, _GROUP, *ids)
    together.xdel(STREAM, *ids)


def _entry(entry_id: bytes, fields: Mapping[bytes, bytes] | None) -> Entry:
    event = (fields or {}).get(_FIELD)  # without fields: somebody deleted it meanwhile
    try:
        document = None if event is None else orjson.loads(event)
    except ValueError:
        document = None
    return Entry(entry_id, event, document)


def _dead(entry_id: bytes, fields: Mapping[bytes, bytes]) -> DeadEntry:
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    return DeadEntry(entry_id.decode(), texts.get("reason", ""), texts.get("field"), texts.get("event"))
