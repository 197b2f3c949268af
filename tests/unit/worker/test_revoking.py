"""The worker's loop over revocations."""

import asyncio

from structlog.testing import capture_logs

from tokenkeep.adapters.ending import end
from tokenkeep_worker.revoking import keep_revoking


async def test_a_round_that_fails_is_told_and_the_next_one_comes() -> None:
    rounds: list[int] = []
    went_on = asyncio.Event()

    async def revoke() -> int:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise OSError
        if len(rounds) == 2:
            return 20
        went_on.set()
        return 0

    with capture_logs() as log:
        running = asyncio.create_task(keep_revoking(revoke, every_s=0))
        await asyncio.wait_for(went_on.wait(), 5)
        await end(running)
    assert len(rounds) >= 3
    assert [line["error"] for line in log] == ["OSError"]
