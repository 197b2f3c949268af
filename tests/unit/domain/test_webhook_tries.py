"""When deliveries are tried again, how endpoints rest, and when they are disabled."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.webhook import WebhookDisabledReason
from tokenkeep.domain.webhook_tries import (
    DISABLED_AFTER,
    LONGEST_ASKED_REST,
    LONGEST_RETRY_AFTER,
    MOST_TRIES,
    QUIET,
    Condition,
    DeliveryState,
    Reply,
    Tried,
    WaveEnd,
    delay_after,
    end_wave,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def said(status: int | None, retry_after: timedelta | None = None) -> Reply:
    return Reply(status, None if status else "timeout: late", retry_after, timedelta(seconds=1), None)


def end(*replies: Reply, condition: Condition | None = None, tries: int = 0, now: datetime = NOW) -> WaveEnd:
    tried = [Tried(number, tries, reply) for number, reply in enumerate(replies)]
    return end_wave(condition or Condition(), tried, now=now, jitter=lambda: 0.5)


def test_ten_tries_take_about_three_days() -> None:
    delays = [delay_after(tries, jitter=0.5) for tries in range(1, MOST_TRIES)]
    assert MOST_TRIES == 10
    total = sum((one for one in delays if one is not None), timedelta())
    assert timedelta(days=3) < total < timedelta(days=3, hours=6)
    assert delay_after(MOST_TRIES, jitter=0.5) is None


@given(st.integers(1, MOST_TRIES - 1), st.floats(0, 1))
def test_jitter_moves_a_try_by_a_tenth_at_most(tries: int, jitter: float) -> None:
    middle, moved = delay_after(tries, jitter=0.5), delay_after(tries, jitter=jitter)
    assert middle is not None
    assert moved is not None
    assert middle * 0.899 <= moved <= middle * 1.101


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken_for_delivered(status: int) -> None:
    assert end(said(status)).after[0].state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [199, 301, 302, 307, 400, 401, 404, 429, 500, 503, None])
def test_whatever_else_is_said_is_tried_again(status: int | None) -> None:
    [after] = end(said(status)).after
    assert after.state is DeliveryState.PENDING
    assert after.due_at == NOW + timedelta(seconds=5)


def test_the_last_try_is_the_last() -> None:
    [after] = end(said(500), tries=MOST_TRIES - 1).after
    assert (after.state, after.due_at) == (DeliveryState.FAILED, None)


def test_retry_after_is_never_come_before_and_never_waited_for_beyond_its_bound() -> None:
    [after] = end(said(429, timedelta(hours=2))).after
    assert after.due_at == NOW + timedelta(hours=2)
    [after] = end(said(429, timedelta(seconds=1)), tries=3).after
    assert after.due_at == NOW + timedelta(hours=2)  # what our schedule says, as it is longer
    ended = end(said(503, timedelta(days=365)))
    assert ended.after[0].due_at == NOW + LONGEST_RETRY_AFTER
    assert ended.condition.rest_until == NOW + LONGEST_ASKED_REST


def test_an_endpoint_that_asks_for_a_rest_has_it_even_if_it_took_something_at_the_same_time() -> None:
    ended = end(said(200), said(429, timedelta(minutes=1)))
    assert ended.condition == Condition(rest_until=NOW + timedelta(minutes=1))


def test_failures_in_a_row_make_rests_that_grow_up_to_a_minute() -> None:
    condition, rests = Condition(), []
    for _ in range(10):
        condition = end(said(500), condition=condition).condition
        rests.append(timedelta() if condition.rest_until is None else condition.rest_until - NOW)
    assert rests[:2] == [timedelta(), timedelta()]
    assert rests[2:] == sorted(rests[2:])
    assert rests[-1] == timedelta(minutes=1)
    assert end(said(200), condition=condition).condition == Condition()


@pytest.mark.parametrize("others", [(), (said(200),), (said(500),)])
def test_410_disables_at_once(others: tuple[Reply, ...]) -> None:
    ended = end(said(410), *others)
    assert ended.disable is WebhookDisabledReason.GONE
    assert ended.after[0].state is DeliveryState.PARKED
    assert not [one for one in ended.after if one.state is DeliveryState.PENDING]


def failing_for(span: timedelta, *, step: timedelta) -> WaveEnd:
    """An endpoint that fails every time from now on, until so much later."""
    at, ended = NOW, end(said(500))
    while ended.disable is None and at - NOW < span:
        at += step
        ended = end(said(None), condition=ended.condition, now=at)
    return ended


def test_five_days_without_one_success_disable() -> None:
    assert failing_for(DISABLED_AFTER - timedelta(hours=1), step=timedelta(minutes=30)).disable is None
    assert failing_for(DISABLED_AFTER, step=timedelta(hours=1)).disable is WebhookDisabledReason.FAILING


def test_one_success_begins_the_five_days_anew() -> None:
    condition = failing_for(timedelta(days=4), step=timedelta(hours=1)).condition
    condition = end(said(204), condition=condition, now=NOW + timedelta(days=4)).condition
    ended = end(said(500), condition=condition, now=NOW + timedelta(days=6))
    assert (ended.disable, ended.condition.failing_since) == (None, NOW + timedelta(days=6))


def test_failures_with_nothing_tried_between_them_for_days_are_not_one_outage() -> None:
    condition = end(said(500)).condition
    ended = end(said(500), condition=condition, now=NOW + timedelta(days=30))
    assert ended.disable is None
    lasting = end(said(500), condition=condition, now=NOW + QUIET - timedelta(seconds=1))
    assert lasting.condition.failing_since == NOW


def test_nothing_follows_from_nothing() -> None:
    condition = Condition(3, NOW, NOW, NOW)
    for now in (NOW, NOW + 2 * DISABLED_AFTER):
        assert end(condition=condition, now=now) == WaveEnd((), condition, None)
