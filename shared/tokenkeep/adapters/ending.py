"""Ending tasks that may not hear it the first time."""

import asyncio
from typing import Any

_AGAIN_S = 0.1
_MOST_TIMES = 100


async def end(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task and wait until it has ended, whatever it ends with.

    On Python 3.11 a cancellation that meets `asyncio.wait_for` just as it is done is lost (fixed in 3.12), and redis-py
    waits that way; so it is said again, for up to 10 seconds.
    """
    for _ in range(_MOST_TIMES):
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
