"""Refreshing while Redis is away: the worker asks the database itself what is due.

The custody of an account is a matter of the database alone, so nothing else changes. The queue is only the faster way
for a hint to come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from tokenkeep.adapters.redis.queue import RefreshHint
from tokenkeep.application.ports import Schedule
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import new_correlation_id

_LOOK_EVERY_S = 1.0
_PROBE = "tokenkeep:probe"
_PATIENCE = 2
"""How many looks in a row must find Redis away before the worker helps itself."""

_log = structlog.get_logger("tokenkeep.worker")


class DirectClaims:
    """Claims due accounts from the database for as long as Redis does not answer."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        schedule: Schedule,
        refresh: Callable[[RefreshHint], Awaitable[None]],
        *,
        batch: int,
        trust: timedelta,
    ) -> None:
        self._client = client
        self._schedule = schedule
        self._refresh = refresh
        self._batch = batch
        self._trust = trust
        self._missed = 0

    async def run(self) -> None:
        """Look after Redis until cancelled."""
        while True:  # bounded by the process's life
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - whatever failed, the next look is needed all the more
                _log.warning("direct_claim_failed", error=type(error).__name__)

    async def look(self) -> int:
        """One look; returns how many accounts were refreshed without the queue."""
        if await self._redis_answers():
            if self._missed >= _PATIENCE:
                _log.info("queue_is_back")
            self._missed = 0
            return 0
        self._missed += 1
        if self._missed < _PATIENCE:
            return 0
        if self._missed == _PATIENCE:
            _log.warning("queue_unavailable_claiming_directly")
        claimed = await self._schedule.claim_due(limit=self._batch, trust=self._trust, paused=timedelta(minutes=10))
        for trigger, probing in ((Trigger.SCHEDULE, False), (Trigger.PROBE, True)):
            ids = tuple(account.account_id for account in claimed.accounts if account.probe is probing)
            if ids:
                await self._refresh(RefreshHint(ids, trigger, new_correlation_id()))
        return len(claimed.accounts)

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                # A write: a full Redis, and a replica that was the primary a moment ago, still answer a PING.
                await self._client.set(_PROBE, b"", px=1000)
        except (RedisError, OSError, TimeoutError):
            return False
        return True
