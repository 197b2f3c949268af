"""Tasks that a test ends."""

import asyncio
from typing import Any

from tokenkeep.adapters.ending import end


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, as often as it takes; it has ended then."""
    await end(task)
    assert task.done(), "it does not end"
