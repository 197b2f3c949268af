"""What follows from the tries to deliver events: when the next one is, how the endpoint rests, when it is disabled.

A try is one POST. An endpoint that fails is asked less and less often, one delivery at a time, whatever waits for it; one that
answers again is given everything at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tokenkeep.domain.webhook import WebhookDisabledReason

# The schedule that Standard Webhooks recommends ("Deliverability and reliability"): ten tries in three days.
DELAYS: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
MOST_TRIES: Final = len(DELAYS) + 1
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
"""No endpoint puts a delivery off for longer, whatever it says."""
LONGEST_ASKED_REST: Final = timedelta(hours=1)
"""Nor everything that is to be sent to it for longer than this."""
DISABLED_AFTER: Final = timedelta(days=5)
QUIET: Final = timedelta(days=2)
"""Failures that lie further apart, with no try between them, are none of one outage. Longer than any wait for a next try but a few."""

_JITTER: Final = 0.2
_FIRST_REST: Final = timedelta(seconds=2)
_LONGEST_REST: Final = timedelta(minutes=1)
_FREE_FAILURES: Final = 2
_MOST_DOUBLINGS: Final = 10
_OK: Final = 200
_FIRST_REDIRECT: Final = 300
_GONE: Final = 410


class DeliveryState(StrEnum):
    """How a delivery stands.

    `failed`: it was given up after the last try. `parked`: the endpoint was disabled before it could be delivered.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one try. `status` None: no complete answer; then `error` says why. `excerpt` is the answer's beginning."""

    status: int | None
    error: str | None
    retry_after: timedelta | None
    duration: timedelta
    excerpt: str | None

    @property
    def is_success(self) -> bool:
        """Whether the endpoint took it. Redirects are not followed, so they are none."""
        return self.status is not None and _OK <= self.status < _FIRST_REDIRECT


@dataclass(frozen=True, slots=True)
class Tried:
    """One delivery that was tried: its place in the feed, how often that was done before, and what came of it now."""

    position: int
    tries: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Condition:
    """How an endpoint has answered lately. `failures` counts those in a row; `rest_until`: nothing is sent before."""

    failures: int = 0
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    rest_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class After:
    """A delivery after a try. `due_at` is when the next one is; None if there is none."""

    tried: Tried
    state: DeliveryState
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class WaveEnd:
    """What is to be written after deliveries to one endpoint were tried; `disable` says why it is to be disabled, if it is."""

    after: tuple[After, ...]
    condition: Condition
    disable: WebhookDisabledReason | None


def end_wave(
    condition: Condition,
    tried: Sequence[Tried],
    *,
    now: datetime,
    jitter: Callable[[], float],
    elsewhere: bool = False,
) -> WaveEnd:
    """What follows from these tries, which were made at the same time. `jitter` gives numbers from 0 to 1.

    `elsewhere`: the endpoint has another address by now, of which they say nothing.
    """
    after = tuple(_after(one, now=now, jitter=jitter()) for one in tried)
    if elsewhere or not tried:
        return WaveEnd(after, condition, None)
    changed = _condition_after(condition, [one.reply for one in tried], now=now)
    reason: WebhookDisabledReason | None = None
    if any(one.reply.status == _GONE for one in tried):
        reason = WebhookDisabledReason.GONE
    elif changed.failing_since is not None and now - changed.failing_since >= DISABLED_AFTER:
        reason = WebhookDisabledReason.FAILING
    if reason is None:
        return WaveEnd(after, changed, None)
    parked = tuple(
        one if one.state is not DeliveryState.PENDING else After(one.tried, DeliveryState.PARKED, None) for one in after
    )
    return WaveEnd(parked, Condition(), reason)


def delay_after(tries: int, *, jitter: float) -> timedelta | None:
    """How long after so many tries the next one is; None after the last. `jitter`, from 0 to 1, moves it by up to a tenth."""
    if tries > len(DELAYS):
        return None
    delay: timedelta = DELAYS[tries - 1] * (1 + _JITTER * (jitter - 0.5))
    return delay


def _after(tried: Tried, *, now: datetime, jitter: float) -> After:
    if tried.reply.is_success:
        return After(tried, DeliveryState.DELIVERED, None)
    delay = delay_after(tried.tries + 1, jitter=jitter)
    if delay is None:
        return After(tried, DeliveryState.FAILED, None)
    asked = min(tried.reply.retry_after or timedelta(), LONGEST_RETRY_AFTER)
    return After(tried, DeliveryState.PENDING, now + max(delay, asked))


def _condition_after(condition: Condition, replies: Sequence[Reply], *, now: datetime) -> Condition:
    asked = max((one.retry_after or timedelta() for one in replies if not one.is_success), default=timedelta())
    asked = min(asked, LONGEST_ASKED_REST)
    if any(one.is_success for one in replies):
        return Condition(rest_until=now + asked if asked else None)
    failures = condition.failures + len(replies)
    lasting = condition.failed_at is not None and now - condition.failed_at < QUIET
    rest = max(asked, _rest_after(failures))
    return Condition(
        failures=failures,
        failing_since=condition.failing_since if lasting else now,
        failed_at=now,
        rest_until=now + rest if rest else None,
    )


def _rest_after(failures: int) -> timedelta:
    """How long an endpoint is left alone after so many failures in a row."""
    if failures <= _FREE_FAILURES:
        return timedelta()
    doublings = min(failures - _FREE_FAILURES - 1, _MOST_DOUBLINGS)
    longer: timedelta = _FIRST_REST * 2**doublings
    return min(longer, _LONGEST_REST)
