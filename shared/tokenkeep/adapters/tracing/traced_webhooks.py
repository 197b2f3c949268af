"""Deliveries to webhooks, which belong to the traces of their events."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import time_ns
from urllib.parse import urlsplit

from tokenkeep.adapters.tracing.traces import Traces
from tokenkeep.application.post_webhook import PostWebhook
from tokenkeep.domain.events import Event
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook_tries import Reply


@dataclass(frozen=True)
class TracedPost(PostWebhook):
    """Posts an event, and tells of it."""

    traces: Traces

    async def __call__(
        self, url: str, event: Event, secrets: Sequence[Secret], *, send_before: float | None = None
    ) -> Reply:
        """As without traces."""
        began = time_ns()
        reply = await super().__call__(url, event, secrets, send_before=send_before)
        with suppress(Exception):  # what came of the try is to be written down
            # An address may hold what is secret; a host does not.
            host = urlsplit(url).hostname
            self.traces.delivered(event, began=began, host=host, status=reply.status, taken=reply.is_success)
        return reply
