"""The custody lock: a cheap gate in front of the database lease.

It saves useless lease tries and decides nothing. When Redis is away the gate stands open: refreshing goes on under the
database lease alone.
"""

from collections.abc import Sequence
from datetime import timedelta

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from tokenkeep.domain.ids import AccountId

_PREFIX = "tokenkeep:custody:"
_TAKE = """
local taken = {}
for i, key in ipairs(KEYS) do
  taken[i] = redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
end
return taken
"""
_GIVE_BACK = """
local given = 0
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then given = given + redis.call('DEL', key) end
end
return given
"""

_log = structlog.get_logger("tokenkeep.custody_lock")


class RedisCustodyLocks:
    """Locks by owner token: taken if free, deleted only by whoever took them, gone by themselves after `ttl`."""

    def __init__(self, client: "redis.asyncio.Redis", *, ttl: timedelta) -> None:
        self._ttl_ms = int(ttl.total_seconds() * 1000)
        self._take = client.register_script(_TAKE)
        self._give_back = client.register_script(_GIVE_BACK)

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[AccountId]:
        """Those of the accounts whose lock was free and is now the owner's; all of them when Redis does not answer."""
        if not account_ids:
            return []
        try:
            taken = await self._take(keys=[_key(one) for one in account_ids], args=[owner, self._ttl_ms])
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)
            return list(account_ids)
        return [one for one, free in zip(account_ids, taken, strict=True) if free]

    async def give_back(self, held: Sequence[tuple[AccountId, str]]) -> None:
        """Delete the locks that are still their owners'. One that can't be deleted now ages out."""
        try:
            await self._give_back(keys=[_key(one) for one, _ in held], args=[owner for _, owner in held])
        except RedisError as error:
            _log.warning("custody_lock_unavailable", error=type(error).__name__)


def _key(account_id: AccountId) -> str:
    return _PREFIX + account_id.hex
