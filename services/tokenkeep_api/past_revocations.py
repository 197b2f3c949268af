"""What a provider gave and will not give twice is not refused because a former grant is being revoked: that is over soon."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tokenkeep.domain.errors import RevocationUnanswered

LONGEST_WAIT_S = 10.0
_POLL_S = 0.25

Stored = TypeVar("Stored")


async def past_revocations(store: Callable[[], Awaitable[Stored]], *, longest_s: float = LONGEST_WAIT_S) -> Stored:
    """Store it, again until no revocation that concerns it is with the provider any more.

    Raises:
        RevocationUnanswered: It still is after this time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + longest_s
    while True:
        try:
            return await store()
        except RevocationUnanswered:
            if loop.time() >= until:
                raise
        await asyncio.sleep(_POLL_S)
