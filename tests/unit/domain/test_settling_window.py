"""How many accounts a worker has in hand: as many as it can settle in time."""

from tokenkeep.domain.settling_window import FIRST_LIMIT, LATE_S, LEAST_LIMIT, SettlingWindow

SOON_S = LATE_S / 4
TOO_LATE_S = LATE_S + 0.1


def settled(window: SettlingWindow, count: int, *, took_s: float, now: float) -> None:
    for _ in range(count):
        window.note_settled(took_s, now=now)


def test_it_doubles_with_each_round_of_answers_that_are_settled_soon() -> None:
    window = SettlingWindow(most=10_000, in_hand=FIRST_LIMIT)
    settled(window, FIRST_LIMIT, took_s=SOON_S, now=1.0)
    assert window.limit == 2 * FIRST_LIMIT


def test_it_grows_no_further_than_the_worker_has_room_for() -> None:
    window = SettlingWindow(most=200, in_hand=200)
    settled(window, 1_000, took_s=SOON_S, now=1.0)
    assert window.limit == 200
    assert not window.is_open


def test_one_that_is_not_used_does_not_grow() -> None:
    window = SettlingWindow(most=10_000, in_hand=FIRST_LIMIT // 2 - 1)
    settled(window, 1_000, took_s=SOON_S, now=1.0)
    assert window.limit == FIRST_LIMIT


def test_answers_that_were_late_together_cut_it_once() -> None:
    window = SettlingWindow(most=10_000, limit=1_000, in_hand=1_000)
    settled(window, 500, took_s=TOO_LATE_S, now=10.0)
    assert round(window.limit) == 700
    settled(window, 500, took_s=TOO_LATE_S, now=10.2)  # they came before the cut
    assert round(window.limit) == 700
    settled(window, 1, took_s=TOO_LATE_S, now=11.0)
    assert round(window.limit) == 490


def test_one_that_is_late_among_many_says_nothing_of_the_others() -> None:
    window = SettlingWindow(most=10_000, limit=1_000)
    for second in range(60):
        settled(window, 300, took_s=LATE_S * 0.75, now=float(second))
        settled(window, 1, took_s=30.0, now=float(second))
    assert window.limit == 1_000


def test_however_late_they_are_a_few_are_always_in_hand() -> None:
    window = SettlingWindow(most=10_000)
    for second in range(100):
        window.note_settled(0.9, now=float(second))
    assert window.limit == LEAST_LIMIT
    assert window.is_open


def test_after_a_cut_it_comes_back_by_a_tenth_a_round() -> None:
    window = SettlingWindow(most=10_000, limit=1_000, in_hand=1_000)
    settled(window, 20, took_s=TOO_LATE_S, now=10.0)
    settled(window, 700, took_s=SOON_S, now=11.0)
    assert round(window.limit) == 770


def test_between_soon_and_late_it_stays() -> None:
    window = SettlingWindow(most=10_000, limit=500, in_hand=500)
    settled(window, 500, took_s=LATE_S * 0.75, now=1.0)
    assert window.limit == 500
