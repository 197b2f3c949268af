"""One POST of one event to an endpoint, signed by Standard Webhooks."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import tokenkeep
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import TokenEndpoints
from tokenkeep.application.webhooks import WebhookSigner
from tokenkeep.domain.errors import ConnectFailed
from tokenkeep.domain.events import Event, cloudevent
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook_tries import LONGEST_RETRY_AFTER, Reply
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.waits import header_wait

_REUSE_WINDOW_S: Final = 5.0
_REFUSED: Final = 400


class TooLateToSend(Exception):
    """We were too slow, or stood still: the time by which the request had to leave was over, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class PostWebhook:
    """Posts an event, and tells what came back. Nothing of ours goes along but the event and its signatures.

    `deadline` is for DNS, connection, TLS, request and answer together.
    """

    endpoints: TokenEndpoints
    sign: WebhookSigner
    excerpt: Callable[[bytes], str | None]
    clocks: Clocks
    wall_clock: Callable[[], datetime]
    deadline: timedelta

    async def __call__(
        self, url: str, event: Event, secrets: Sequence[Secret], *, send_before: float | None = None
    ) -> Reply:
        """What came of it, whatever that is.

        Args:
            url: The endpoint.
            event: What to tell.
            secrets: What to sign with, the newest first.
            send_before: When the first byte must have left, by `boottime()`, in seconds. An endpoint that can't be connected to
                before has failed.

        Raises:
            TooLateToSend: It did not leave before `send_before`, and not for want of a connection.
        """
        begun, now = self.clocks.loop_time(), self.clocks.boottime()
        span = self.deadline.total_seconds()
        may_wait = span if send_before is None else min(span, send_before - now)
        if may_wait < 0:
            raise TooLateToSend
        request = self._request(url, event, secrets)
        try:
            async with self.endpoints.lend(
                request, reuse_window_s=_REUSE_WINDOW_S, deadline=begun + may_wait
            ) as connection:
                outcome = await connection.exchange(request, deadline=begun + span, send_before=now + may_wait)
        except ConnectFailed as failure:
            outcome = NoAnswer(failure.reason, maybe_sent=False, detail=failure.detail)
        else:
            is_unsent = isinstance(outcome, NoAnswer) and not outcome.maybe_sent
            if is_unsent and send_before is not None and self.clocks.boottime() > send_before:
                raise TooLateToSend
        return self._reply(outcome, timedelta(seconds=self.clocks.loop_time() - begun))

    def _request(self, url: str, event: Event, secrets: Sequence[Secret]) -> TokenRequest:
        body = json.dumps(cloudevent(event), ensure_ascii=False, separators=(",", ":"))
        message_id, now = format_id(IdKind.EVENT, event.id), self.wall_clock()
        headers = {
            # Not application/cloudevents+json: many frameworks read only this one.
            "content-type": "application/json",
            "user-agent": f"tokenkeep/{tokenkeep.__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self.sign(secrets, message_id, now, body),
        }
        return TokenRequest(url, headers, Secret(body))

    def _reply(self, outcome: Answer | NoAnswer, duration: timedelta) -> Reply:
        match outcome:
            case NoAnswer(reason=reason, detail=detail):
                return Reply(None, f"{reason.value}: {detail}", None, duration, None)
            case Answer(status=status, headers=headers, body=body):
                wait = None
                if status >= _REFUSED:
                    wait = header_wait(headers, now=self.wall_clock(), longest=LONGEST_RETRY_AFTER)
                return Reply(status, None, wait, duration, self.excerpt(body))
