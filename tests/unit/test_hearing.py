"""A judge of the fault runs that could not find anything wrong would be worth nothing."""

from faults.hearing import Hearing, Told, as_table


def hearing(*events: tuple[str, int, str]) -> Hearing:
    heard = Hearing("a listener")
    for subject, sequence, event_id in events:
        heard.note({"subject": subject, "sequence": str(sequence), "id": event_id})
    return heard


TOLD: Told = {("acc_a", 1): "evt_1", ("acc_a", 2): "evt_2", ("acc_b", 1): "evt_3"}
ALL = (("acc_a", 1, "evt_1"), ("acc_b", 1, "evt_3"), ("acc_a", 2, "evt_2"))
NOTHING_WRONG = {"missed": 0, "made up": 0, "out of order": 0, "other ids": 0}


def wrong(heard: Hearing) -> dict[str, int]:
    verdict = heard.verdict(TOLD)
    return {name: verdict[name] for name in NOTHING_WRONG}


def test_whoever_heard_everything_in_order_has_nothing_wrong_however_often_it_came() -> None:
    assert wrong(hearing(*ALL)) == NOTHING_WRONG
    repeated = hearing(*ALL, *ALL)
    assert wrong(repeated) == NOTHING_WRONG
    assert (repeated.known, repeated.entries, repeated.verdict(TOLD)["repeated"]) == (3, 6, 3)


def test_what_was_not_heard_is_missed() -> None:
    assert wrong(hearing(*ALL[:2])) == NOTHING_WRONG | {"missed": 1}


def test_what_nobody_told_is_made_up() -> None:
    assert wrong(hearing(*ALL, ("acc_c", 1, "evt_9"))) == NOTHING_WRONG | {"made up": 1}


def test_a_later_event_before_an_earlier_one_is_out_of_order() -> None:
    assert wrong(hearing(ALL[2], ALL[0], ALL[1]))["out of order"] > 0


def test_an_event_that_comes_again_under_another_id_is_no_duplicate() -> None:
    assert wrong(hearing(*ALL, ("acc_a", 1, "evt_9"))) == NOTHING_WRONG | {"other ids": 1}
    assert wrong(hearing(("acc_a", 1, "evt_9"), *ALL[1:])) == NOTHING_WRONG | {"other ids": 1}


def test_the_figures_are_shown_a_line_each() -> None:
    table = as_table({"one": hearing(*ALL).verdict(TOLD), "another": hearing().verdict(TOLD)})
    assert [line.split()[0] for line in table.splitlines()] == ["told", "one", "another"]
