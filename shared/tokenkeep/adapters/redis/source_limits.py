"""Limits of sources in Redis: token buckets, places and holds that all workers share.

A bucket is one number, the moment at which it is full again (as `domain.rate_limit` has it), by the clock of Redis. A place is a member
of a sorted set that names the moment at which it is taken for abandoned, so a killed worker's come free by themselves.
"""

from collections.abc import Sequence

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from tokenkeep.application.admission_ports import Allowed, Asked, Delay
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_limits import Bound

_HELD = "tokenkeep:limit:held:"
_WANTED = "tokenkeep:limit:wanted:"
_BUCKET = "tokenkeep:limit:bucket:"
_PLACES = "tokenkeep:limit:places:"
_WORKERS = "tokenkeep:limit:workers"
_WORKER_LIVES_S = 30.0
_SOON_MS = 1000
# KEYS: the hold; then of each bound bucket, places, and the mark of a demand that waits for it, of whichever source. ARGV: count, the group's name, how long a place is good
# for (s), whether somebody waits (1 or 0); then of each bound: tokens a second (0: no bucket), what the bucket holds, what is kept in it, places
# (-1: any number). Times in seconds. While a demand waits, what is scheduled leaves the next token to it, however small the bucket.
_TAKE = """
local held = redis.call('PTTL', KEYS[1])
if held > 0 then return {0, held, 'held'} end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local count, wait, why = tonumber(ARGV[1]), 0, 'rate'
local full = {}
local demanded = ARGV[4] == '1'
for i = 2, #KEYS, 3 do
  local at = 5 + (i - 2) / 3 * 4
  local wanted = not demanded and redis.call('EXISTS', KEYS[i + 2]) == 1
  local rate, burst, keep, places = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if places >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', now)
    local free = math.max(places - redis.call('ZCARD', KEYS[i + 1]), 0)
    if wanted then free = math.max(free - 1, 0) end
    if free < count then count, wait, why = free, tonumber(ARGV[#ARGV]), 'concurrency' end
  end
  if rate > 0 then
    if wanted then keep = math.max(keep, 1) end
    full[i] = math.min(math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), now), now + burst / rate)
    local there = (burst / rate - (full[i] - now)) * rate - keep + 1e-5
    local some = math.max(math.floor(there), 0)
    if some < count then count, wait, why = some, math.ceil((1 - (there - some)) / rate * 1000), 'rate' end
  end
end
for i = 2, #KEYS, 3 do
  local at = 5 + (i - 2) / 3 * 4
  local rate, burst, places = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  if rate > 0 and count > 0 then
    redis.call('SET', KEYS[i], string.format('%.6f', full[i] + count / rate), 'PX', math.ceil(burst / rate * 1000) + 1000)
  end
  if places >= 0 and count > 0 then
    for n = 0, count - 1 do redis.call('ZADD', KEYS[i + 1], now + tonumber(ARGV[3]), ARGV[2] .. ':' .. n) end
    redis.call('PEXPIRE', KEYS[i + 1], math.ceil(tonumber(ARGV[3]) * 1000))
  end
  if demanded and count < tonumber(ARGV[1]) then redis.call('SET', KEYS[i + 2], '', 'PX', wait + tonumber(ARGV[#ARGV]))
  elseif demanded then redis.call('DEL', KEYS[i + 2]) end
end
return {count, wait, why}
"""
# A hold only ever grows.
_HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end
return 0
"""
_COUNT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[2]) * 1000)
return redis.call('ZCARD', KEYS[1])
"""

_log = structlog.get_logger("tokenkeep.source_limits")


class RedisSourceLimits:
    """The limits over one client. `worker` names this process; a place is taken for abandoned after `place_s`."""

    def __init__(self, client: "redis.asyncio.Redis", *, worker: str, place_s: float) -> None:
        self._client = client
        self._worker = worker
        self._place_s = place_s
        self._take = client.register_script(_TAKE)
        self._hold = client.register_script(_HOLD)
        self._count = client.register_script(_COUNT)

    async def take(self, asked: Asked) -> Allowed | None:
        """Take what is there, of every bound the same; None when Redis does not answer."""
        keys = [_HELD + asked.source_id.hex]
        args: list[str | int | float] = [asked.count, asked.places, self._place_s, int(asked.demanded)]
        for one in asked.bounds:
            keys += [_BUCKET + one.name, _PLACES + one.name, _WANTED + one.name]
            keep = 0.0 if asked.demanded else one.kept_for_demands()
            places = one.places(demanded=asked.demanded)
            rate = (0.0, 0, 0.0) if one.rate is None else (one.rate.per_s, one.rate.burst, keep)
            args += [*rate, -1 if places is None else places]
        try:
            count, wait_ms, why = await self._take(keys=keys, args=[*args, _SOON_MS])
        except RedisError as error:
            _log.warning("source_limits_unavailable", error=type(error).__name__)
            return None
        return Allowed(count, wait_ms / 1000, Delay(why.decode()))

    async def leave(self, bounds: Sequence[Bound], places: Sequence[str]) -> bool:
        """Give places back; False when that can't be done now. What never is given back is free when it is taken for abandoned."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for one in bounds:
                    if one.concurrency is not None:
                        pipe.zrem(_PLACES + one.name, *places)
                await pipe.execute()
        except RedisError as error:
            _log.warning("source_limits_unavailable", error=type(error).__name__)
            return False
        return True

    async def hold(self, source_id: SourceId, span_s: float) -> None:
        """Nobody of the source goes for so long."""
        try:
            await self._hold(keys=[_HELD + source_id.hex], args=[max(int(span_s * 1000), 1)])
        except RedisError as error:
            _log.warning("source_limits_unavailable", error=type(error).__name__)

    async def count_workers(self) -> int | None:
        """How many workers have been here lately, this one included; None when Redis does not answer."""
        try:
            count: int = await self._count(keys=[_WORKERS], args=[self._worker, int(_WORKER_LIVES_S)])
        except RedisError as error:
            _log.warning("source_limits_unavailable", error=type(error).__name__)
            return None
        return count
