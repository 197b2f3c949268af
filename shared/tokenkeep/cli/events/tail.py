"""The stream `tokenkeep:events` as it goes."""

import json
from collections.abc import AsyncIterator
from typing import Any

from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.cli.events.stores import open_redis

_BATCH = 100
_BLOCK_MS = 1_000


async def follow() -> AsyncIterator[dict[str, Any]]:
    """Every event that is published from now on, as a CloudEvent. Bounded by whoever stops to listen."""
    async with open_redis() as client:
        reader: Any = client  # redis-py's types tell of blocking and awaitable answers alike
        newest = await reader.xrevrange(STREAM, count=1)
        after = newest[0][0] if newest else "0"
        while True:
            for _, entries in await reader.xread({STREAM: after}, count=_BATCH, block=_BLOCK_MS) or ():
                for entry_id, fields in entries:
                    after = entry_id
                    yield json.loads(fields[b"event"])
