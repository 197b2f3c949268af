"""Deliver to one endpoint what has come due, and write down what came of it."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import Vault
from tokenkeep.application.post_webhook import PostWebhook, TooLateToSend
from tokenkeep.application.webhook_secrets import open_webhook_secrets
from tokenkeep.application.webhooks import WAVE, Lane, Lanes, ToDeliver, WebhookObserver
from tokenkeep.application.work import Works
from tokenkeep.domain import webhook as webhooks
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook import Webhook
from tokenkeep.domain.webhook_tries import DeliveryState, Tried, WaveEnd, end_wave

_UNREADABLE_REST: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DeliverWebhooks:
    """One turn of one endpoint: a wave of deliveries side by side, then one transaction with all that came of them.

    The endpoint is this worker's for twice the deadline of a delivery: so long it waits for another one if this is killed.
    `post_to_failing` posts to endpoints that fail, and shares nothing with `post` that such an endpoint could use up.
    """

    lanes: Lanes
    works: Works
    vault: Vault
    post: PostWebhook
    post_to_failing: PostWebhook
    observer: WebhookObserver
    clocks: Clocks

    async def claim(self, *, healthy: int, failing: int) -> Sequence[tuple[Lane, float]]:
        """Endpoints that wait, for this worker alone, and until when requests may leave, by `boottime()` in seconds."""
        deadline = self.post.deadline
        # The last request leaves so early that it has ended, answered or not, while the endpoint is still ours: a third of the
        # deadline is left for clocks and stalls.
        send_before = self.clocks.boottime() + (2 * deadline / 3).total_seconds()
        lanes = await self.lanes.claim(healthy=healthy, failing=failing, lease=2 * deadline)
        return [(lane, send_before) for lane in lanes]

    async def __call__(self, lane: Lane, *, send_before: float) -> int:
        """Deliver to the endpoint; returns how many deliveries were tried.

        A secret that can't be opened is no fault of the endpoint's: nothing is sent, and nothing counted against it.
        """
        wave = await self.lanes.wave(lane, size=1 if lane.failing else WAVE)
        try:
            secrets = open_webhook_secrets(self.vault, lane.webhook_id, lane.sealed_key, wave.secrets)
        except VaultError:
            await self.lanes.put_off(lane, _UNREADABLE_REST)
            raise
        # A group, so that nothing is under way any more when this ends, however it does.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._try(lane, one, secrets, send_before)) for one in wave.deliveries]
        tried = [one for one in (task.result() for task in tasks) if one is not None]
        if len(tried) < len(tasks):
            self.observer.webhook_too_late(lane.webhook_id, len(tasks) - len(tried))
        await self._settle(lane, tried)
        return len(tried)

    async def _try(
        self, lane: Lane, delivery: ToDeliver, secrets: Sequence[Secret], send_before: float
    ) -> Tried | None:
        """What came of it; None where it was too late to send: our lateness must not count against the endpoint."""
        post = self.post_to_failing if lane.failing else self.post
        try:
            reply = await post(lane.url, delivery.event, secrets, send_before=send_before)
        except TooLateToSend:
            return None
        return Tried(delivery.position, delivery.tries, reply)

    async def _settle(self, lane: Lane, tried: Sequence[Tried]) -> None:
        disabled: Webhook | None = None
        async with self.works() as work:
            standing = await work.webhook_turns.standing(lane.webhook_id, lane.holder)
            if standing is None:
                self.observer.webhook_lease_lost(lane.webhook_id)
                return
            condition = standing.condition
            end = end_wave(condition, tried, now=standing.now, jitter=random.random, elsewhere=standing.url != lane.url)
            states = await work.webhook_turns.record(lane, end, now=standing.now)
            if end.disable is not None:
                disabled = await work.webhooks.lock(lane.webhook_id)
                if disabled is not None and disabled.enabled:
                    disabled, event = webhooks.disable(disabled, end.disable, now=standing.now)
                    await work.webhooks.save(disabled)
                    await work.webhooks.park(lane.webhook_id)
                    await work.tell([event])
                else:  # somebody else has done so, or deleted it
                    disabled = None
            await work.webhook_turns.give_back(lane, end.condition)
        self._tell(lane, end, states, disabled)

    def _tell(self, lane: Lane, end: WaveEnd, states: Mapping[int, DeliveryState], disabled: Webhook | None) -> None:
        for one in end.after:
            self.observer.webhook_tried(lane.webhook_id, one.tried, states.get(one.tried.position, one.state))
        if disabled is not None:
            self.observer.webhook_disabled(disabled)
