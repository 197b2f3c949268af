"""Where claims begin to look: from the start, as long as that is cheap."""

from datetime import UTC, datetime, timedelta

from tokenkeep.adapters.postgres.claim_front import START, ClaimFront

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAST = NOW - timedelta(minutes=10)


def test_a_cheap_look_is_made_from_the_start_each_time() -> None:
    front = ClaimFront()
    front.ended(START, LAST, NOW, took_s=0.02, now=100.02)
    assert front.begin(now=100.03) == START


def test_a_dear_look_is_gone_on_with_where_it_ended() -> None:
    front = ClaimFront()
    front.ended(START, LAST, NOW, took_s=2.0, now=102.0)
    assert front.begin(now=102.0) == LAST
    further = LAST + timedelta(minutes=1)
    front.ended(LAST, further, NOW, took_s=0.02, now=102.02)
    assert front.begin(now=103.0) == further


def test_looks_from_the_start_take_a_twentieth_of_the_time() -> None:
    front = ClaimFront()
    front.ended(START, LAST, NOW, took_s=2.0, now=102.0)
    assert front.begin(now=141.9) == LAST
    assert front.begin(now=142.1) == START


def test_what_was_committed_a_moment_late_is_not_passed_by() -> None:
    front = ClaimFront()
    front.ended(START, NOW, NOW, took_s=2.0, now=102.0)
    assert front.begin(now=102.0) == NOW - timedelta(seconds=5)


def test_a_look_that_came_to_the_end_of_what_is_due_is_gone_on_with_there() -> None:
    front = ClaimFront()
    front.ended(START, None, NOW, took_s=2.0, now=102.0)
    assert front.begin(now=102.0) == NOW - timedelta(seconds=5)


def test_a_look_of_which_the_moment_is_not_known_moves_nothing() -> None:
    front = ClaimFront()
    front.ended(START, LAST, NOW, took_s=2.0, now=102.0)
    front.ended(LAST, None, None, took_s=0.01, now=103.01)
    assert front.begin(now=104.0) == LAST


def test_a_look_that_never_ended_is_not_made_again_at_once() -> None:
    front = ClaimFront()
    front.ended(START, LAST, NOW, took_s=2.0, now=102.0)
    assert front.begin(now=150.0) == START
    front.gave_up(now=160.0)
    assert front.begin(now=161.0) == LAST
    assert front.begin(now=221.0) == START
