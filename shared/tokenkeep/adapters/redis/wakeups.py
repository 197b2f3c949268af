"""Wake-ups: a published hint that an account was settled, for those who wait for it."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from tokenkeep.adapters.ending import end
from tokenkeep.domain.ids import AccountId

_CHANNEL = "tokenkeep:settled"
_ID_BYTES = 16
_RETRY_S = 1.0

_log = structlog.get_logger("tokenkeep.wakeups")


class RedisAnnouncer:
    """The worker's side: publishes the ids of what was settled, packed, in one message a batch."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def settled(self, account_ids: Sequence[AccountId]) -> None:
        """Hint at these accounts. A hint that can't be given is no harm: those who wait also look for themselves."""
        try:
            await self._client.publish(_CHANNEL, b"".join(one.bytes for one in account_ids))
        except RedisError as error:
            _log.warning("announce_failed", error=type(error).__name__)


class RedisWaiters:
    """The API's side: one subscription a process, shared by all callers that wait."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening."""
        await end(self._listener)

    async def wait(self, account_id: AccountId, timeout_s: float) -> None:
        """Return when the account is said to have been settled, or after `timeout_s`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[account_id]
        waiting.add(future)
        try:
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(account_id, None)

    async def _listen(self) -> None:
        while True:  # bounded by stop(): the subscription lives as long as the process
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(_CHANNEL)
                    await self._read(subscription)
            except (RedisError, OSError) as error:
                _log.warning("wakeups_interrupted", error=type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def _read(self, subscription: "redis.asyncio.client.PubSub") -> None:
        while True:  # bounded by stop() and by the connection
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=_RETRY_S)
            if message is not None:
                self._wake(message["data"])

    def _wake(self, packed: bytes) -> None:
        for start in range(0, len(packed), _ID_BYTES):
            for future in self._waiting.get(UUID(bytes=packed[start : start + _ID_BYTES]), ()):
                if not future.done():
                    future.set_result(None)
