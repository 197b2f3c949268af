"""A program of somebody's own that subscribes to the stream with the SDK, and writes down what it is told.

Its settings are the services' own; `TOLD_FILE` names the file, to which each event is one line. A line is written whole or not at
all, whenever the program is killed.
"""

import asyncio
import json
import os
import signal

from tokenkeep.client import AsyncTokenkeep, Event
from tokenkeep.settings import Settings, require_redis

GROUP = "told"
LEASE_S = 1.0
"""How long another consumer waits before it takes the place of one that was killed."""


async def consume(settings: Settings) -> None:
    """Be told until SIGTERM."""
    client = AsyncTokenkeep(redis=require_redis(settings).reveal())
    subscription = client.events.subscribe(group=GROUP, lease=LEASE_S)
    written = os.open(os.environ["TOLD_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def write_down(event: Event) -> None:
        line = json.dumps({"id": event.id, "subject": event.subject, "sequence": event.sequence})
        os.write(written, f"{line}\n".encode())

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, subscription.stop)
    print("consumer_ready", flush=True)  # noqa: T201 - whoever started it waits for that
    await subscription.run(write_down)


def run(settings: Settings) -> None:
    """Run one consumer."""
    asyncio.run(consume(settings))
