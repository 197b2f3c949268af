"""The custody lock: a cheap gate in front of the database lease; and beside it, the generation mirror.

The lock saves useless lease tries and decides nothing. When Redis is away the gate stands open: refreshing goes on under the
database lease alone.

The mirror remembers, for each account, the newest generation of credentials that was committed. A row that is older than its
mirror shows that the database went back in time (custody protocol, section 9). It costs no round trip: it is read where locks
are taken and written where they are given back. Its fields lie in many small hashes, which Redis packs: with 61 accounts in
each, as at four million, Valkey 7.2 took 38 bytes an account by MEMORY USAGE and 43 of its used memory, so some 170 MB in all.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from tokenkeep.application.custody import Mirrored, Taken
from tokenkeep.domain.ids import AccountId

_PREFIX = "tokenkeep:custody:"
_MIRROR = "tokenkeep:generation:"
# KEYS: lock, mirror bucket, and so on. ARGV: owner, ttl, then the mirror's field of each account.
_TAKE = """
local taken = {}
for i = 1, #KEYS, 2 do
  if redis.call('SET', KEYS[i], ARGV[1], 'NX', 'PX', ARGV[2]) then
    taken[#taken + 1] = redis.call('HGET', KEYS[i + 1], ARGV[2 + (i + 1) / 2]) or ''
  else
    taken[#taken + 1] = 0
  end
end
return taken
"""
_RENEW = """
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i + 1] then redis.call('PEXPIRE', key, ARGV[1]) end
end
return 0
"""
# ARGV of each account: owner, the mirror's field, generation (0: unknown). The mirror only ever moves forward.
_GIVE_BACK = """
local now = redis.call('TIME')[1]
for i = 1, #KEYS, 2 do
  local at = (i - 1) / 2 * 3
  if redis.call('GET', KEYS[i]) == ARGV[at + 1] then redis.call('DEL', KEYS[i]) end
  local generation = tonumber(ARGV[at + 3])
  if generation > 0 then
    local former = redis.call('HGET', KEYS[i + 1], ARGV[at + 2])
    if not former or tonumber(string.match(former, '^%d+')) < generation then
      redis.call('HSET', KEYS[i + 1], ARGV[at + 2], string.format('%.0f:%s', generation, now))
    end
  end
end
return 0
"""
# ARGV of each account: the mirror's field, generation.
_CORRECT = """
local now = redis.call('TIME')[1]
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, ARGV[2 * i - 1], ARGV[2 * i] .. ':' .. now)
end
return 0
"""

_log = structlog.get_logger("tokenkeep.custody_lock")


class RedisCustodyLocks:
    """Locks by owner token: taken if free, renewed and deleted only by whoever took them, gone by themselves after `ttl`."""

    def __init__(self, client: "redis.asyncio.Redis", *, ttl: timedelta) -> None:
        self._client = client
        self._ttl_ms = int(ttl.total_seconds() * 1000)
        self._take = client.register_script(_TAKE)
        self._renew = client.register_script(_RENEW)
        self._give_back = client.register_script(_GIVE_BACK)
        self._correct = client.register_script(_CORRECT)

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[Taken]:
        """Those of the accounts whose lock was free and is now the owner's; all of them when Redis does not answer."""
        if not account_ids:
            return []
        keys = [key for one in account_ids for key in (_key(one), _bucket(one))]
        try:
            answers = await self._take(keys=keys, args=[owner, self._ttl_ms, *(one.bytes for one in account_ids)])
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)
            return [Taken(one) for one in account_ids]
        return [Taken(one, _mirrored(answer)) for one, answer in zip(account_ids, answers, strict=True) if answer != 0]

    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None:
        """Let the locks that are still their owners' live for another `ttl`."""
        try:
            await self._renew(keys=[_key(one) for one, _ in held], args=[self._ttl_ms, *(owner for _, owner in held)])
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)

    async def give_back(self, held: Sequence[tuple[AccountId, str, int | None]]) -> None:
        """Delete the locks that are still their owners', and note the generations that are stored now, where given.

        A lock that can't be deleted now ages out; a mirror that can't be written stays behind, which alarms nobody.
        """
        keys = [key for one, _, _ in held for key in (_key(one), _bucket(one))]
        args = [value for one, owner, generation in held for value in (owner, one.bytes, generation or 0)]
        try:
            await self._give_back(keys=keys, args=args)
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)

    async def mirrored(self, account_ids: Sequence[AccountId]) -> dict[AccountId, Mirrored]:
        """What the mirror remembers of these accounts; those of which it knows nothing are left out.

        Raises:
            RedisError: It can't be asked.
        """
        reading = self._client.pipeline(transaction=False)
        for one in account_ids:
            reading.hget(_bucket(one), one.bytes)
        answers = await reading.execute()
        found = ((one, _mirrored(answer or "")) for one, answer in zip(account_ids, answers, strict=True))
        return {one: newest for one, newest in found if newest is not None}

    async def set_back(self, generations: Mapping[AccountId, int]) -> None:
        """Set the mirror back: that these rows are behind it is written down in the database now.

        Raises:
            RedisError: It can't be written.
        """
        if generations:
            keys = [_bucket(one) for one in generations]
            await self._correct(keys=keys, args=[value for one, at in generations.items() for value in (one.bytes, at)])

    async def correct(self, account_id: AccountId, generation: int) -> None:
        """As `set_back`, for one account, as far as Redis can be had."""
        try:
            await self.set_back({account_id: generation})
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)


def _key(account_id: AccountId) -> str:
    return _PREFIX + account_id.hex


def _bucket(account_id: AccountId) -> str:
    """One of 65,536 hashes, by the random end of the id: some sixty accounts in each at four million."""
    return _MIRROR + account_id.hex[-4:]


def _mirrored(answer: bytes | str) -> Mirrored | None:
    text = answer.decode() if isinstance(answer, bytes) else answer
    generation, _, seconds = text.partition(":")
    if not generation:
        return None
    return Mirrored(int(generation), datetime.fromtimestamp(int(seconds), UTC))
