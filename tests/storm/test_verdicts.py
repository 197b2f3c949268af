"""The storm's own judgement: what excuses a lost answer, and what does not."""

from storm.grants import Grant, Kind, Result
from storm.listener import Heard
from storm.processes import Life
from storm.verdicts import SETTLE_S, Excuse, double_presentations, excuse, overlaps, why_lost
from storm.wire import FAULTS, Fault, Line, Presentation

DEADLINE_S = 2.0
GRANT = Grant("revokes-1", Kind.REVOKES)
LOST = next(fault for fault, _ in FAULTS if fault.name == "answer dropped")


def a_process(*, killed_at: float | None = None) -> Life:
    return Life("worker", 1, 0.0, ended=killed_at, killed=killed_at is not None)


def presented(
    token: int,
    at: float,
    result: Result,
    *,
    life: Life | None = None,
    fault: Fault | None = None,
    answered: bool = True,
) -> Presentation:
    over = at + 0.1
    line = Line((1, 2), a_process() if life is None else life)
    one = Presentation(GRANT, token, at, line, fault, result=result, ended=over)
    one.answered = over if answered and fault is None else None
    return one


def test_an_answer_that_reached_a_living_process_has_no_excuse() -> None:
    assert excuse(presented(1, 10, Result.ROTATED), deadline_s=DEADLINE_S) is None


def test_a_process_killed_long_after_the_answer_is_no_excuse() -> None:
    at_once, later = a_process(killed_at=10.2), a_process(killed_at=10.2 + SETTLE_S)
    assert excuse(presented(1, 10, Result.ROTATED, life=at_once), deadline_s=DEADLINE_S) is Excuse.KILLED
    assert excuse(presented(1, 10, Result.ROTATED, life=later), deadline_s=DEADLINE_S) is None


def test_the_time_in_which_a_process_was_stopped_does_not_count_against_it() -> None:
    life = a_process(killed_at=15.0)
    life.pauses.append((10.2, 14.9))
    assert excuse(presented(1, 10, Result.ROTATED, life=life), deadline_s=DEADLINE_S) is Excuse.KILLED


def test_a_token_presented_again_after_its_answer_was_had_is_spent_twice() -> None:
    row = [presented(1, 10, Result.ROTATED), presented(1, 20, Result.REUSED)]
    assert len(double_presentations(row, deadline_s=DEADLINE_S)) == 1
    assert why_lost(row, deadline_s=DEADLINE_S) is None


def test_a_token_presented_again_after_its_answer_was_lost_is_not_spent_twice_by_us() -> None:
    row = [presented(1, 10, Result.ROTATED, fault=LOST), presented(1, 20, Result.REUSED)]
    assert double_presentations(row, deadline_s=DEADLINE_S) == []
    assert why_lost(row, deadline_s=DEADLINE_S) is Excuse.WIRE


def test_presentations_that_overlap_are_seen() -> None:
    first, second, third = (presented(1, at, Result.ROTATED) for at in (10, 10.05, 11))
    assert overlaps([first, second, third]) == [(first, second)]


def test_a_listener_tells_a_repetition_from_an_event_before_its_turn() -> None:
    heard = Heard()
    assert [heard.note(1, "evt_a"), heard.note(1, "evt_a"), heard.note(3, "evt_c")] == [True, False, True]
    assert heard.out_of_order == [3]
    heard.note(1, "evt_other")
    assert heard.changed == [1]
