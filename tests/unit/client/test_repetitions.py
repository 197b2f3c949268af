from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tokenkeep.client.event import Event
from tokenkeep.client.repetitions import Repetitions

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def event(sequence: int, subject: str = "acc_1", **changes: object) -> Event:
    told = Event(
        f"evt_{subject}_{sequence}",
        "tokenkeep.account.refreshed",
        subject,
        sequence,
        BEGIN + timedelta(seconds=sequence),
        {},
        {},
    )
    return replace(told, **changes)  # type: ignore[arg-type]


def knowing(*events: Event, most: int = 10) -> Repetitions:
    known = Repetitions(most)
    for one in events:
        known.add(one)
    return known


def test_what_came_before_or_last_is_a_repetition() -> None:
    known = knowing(event(1), event(2))
    assert event(1) in known
    assert event(2) in known
    assert event(3) not in known
    assert event(1, "acc_2") not in known


def test_a_sequence_that_is_given_once_more_after_a_restore_is_no_repetition() -> None:
    known = knowing(event(1), event(2), event(3))
    later = BEGIN + timedelta(days=1)
    assert event(2, id="evt_new", time=later) not in known
    assert event(3, id="evt_new", time=event(3).time) not in known
    known.add(event(2, id="evt_new", time=later))
    assert event(3, id="evt_newer", time=later) not in known


def test_what_is_missing_right_before_an_event_is_counted() -> None:
    known = knowing(event(2))
    assert known.gap_before(event(3)) == 0
    assert known.gap_before(event(6)) == 3
    assert known.gap_before(event(1)) == 0
    assert known.gap_before(event(9, "acc_2")) == 0


def test_the_subjects_heard_of_longest_ago_are_forgotten() -> None:
    known = knowing(event(1, "acc_1"), event(1, "acc_2"), event(2, "acc_1"), event(1, "acc_3"), most=2)
    assert event(1, "acc_2") not in known
    assert event(2, "acc_1") in known


def test_what_another_consumer_had_between_two_turns_is_not_missing() -> None:
    known = knowing(event(1))
    known.begin_turn()
    assert known.gap_before(event(4)) == 0
    assert event(1) in known
    known.add(event(4))
    assert known.gap_before(event(6)) == 1
