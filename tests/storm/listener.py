"""A consumer of `tokenkeep:events` that reads from the start and forgets nothing."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from tokenkeep.adapters.redis.connection import connect
from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.domain.secret import Secret


@dataclass(slots=True)
class Heard:
    """What was heard of one subject: the ids of its events by sequence, and whether one came before its turn."""

    ids: dict[int, str] = field(default_factory=dict)
    out_of_order: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    """Sequences under which two different events were heard."""

    def note(self, sequence: int, event_id: str) -> bool:
        """Take note of an entry; False for one that was heard before."""
        known = self.ids.get(sequence)
        if known is not None:
            if known != event_id:
                self.changed.append(sequence)
            return False
        if sequence != len(self.ids) + 1:
            self.out_of_order.append(sequence)
        self.ids[sequence] = event_id
        return True


class Listener:
    """Reads the stream for as long as it is run. Restarts, crashes and flushes of Valkey are waited out."""

    def __init__(self, url: str) -> None:
        self.subjects: dict[str, Heard] = {}
        self.entries = 0
        self.replayed = 0
        self._url = Secret(url)
        self._last = "0"

    async def run(self) -> None:
        """Listen until cancelled."""
        client = connect(self._url)
        try:
            while True:  # bounded by the storm, which cancels it
                try:
                    await self._listen(client)
                except (RedisError, OSError, TimeoutError):
                    await asyncio.sleep(0.1)
        finally:
            await client.aclose()

    async def _listen(self, client: "redis.asyncio.Redis") -> None:
        found: Any = await client.xread({STREAM: self._last}, count=1000, block=500)
        for _, entries in found or ():
            for position, fields in entries:
                self._last = position.decode() if isinstance(position, bytes) else position
                self._note(orjson.loads(_get(fields, "event")))
            # The providers live on the same event loop.
            await asyncio.sleep(0)

    def _note(self, event: dict[str, Any]) -> None:
        self.entries += 1
        heard = self.subjects.setdefault(event["subject"], Heard())
        if not heard.note(int(event["sequence"]), event["id"]):
            self.replayed += 1


def _get(fields: dict[Any, Any], name: str) -> Any:
    return fields[name.encode()] if name.encode() in fields else fields[name]
