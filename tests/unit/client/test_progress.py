from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.client.progress import Progress


def test_a_place_moves_with_the_first_events_that_are_dealt_with() -> None:
    progress = Progress(None)
    assert progress.next_cursor is None
    assert progress.add(["e1", "e2", "e3"], "c1") == 0
    assert progress.position == " "
    progress.settle("e2")
    assert progress.position == " "
    progress.settle("e1")
    assert progress.position == " e2"
    progress.settle("e3")
    assert progress.position == "c1 "
    assert progress.next_cursor == "c1"


def test_a_place_goes_on_behind_the_event_that_it_names() -> None:
    progress = Progress("c1 e2")
    assert progress.next_cursor == "c1"
    assert progress.add(["e1", "e2", "e3"], "c2") == 2
    assert progress.position == "c1 e2"
    progress.settle("e3")
    assert progress.position == "c2 "


def test_a_page_that_was_dealt_with_whole_is_done() -> None:
    progress = Progress("c1 e2")
    assert progress.add(["e1", "e2"], "c2") == 2
    assert progress.position == "c2 "


def test_an_event_that_the_page_does_not_have_skips_nothing() -> None:
    progress = Progress("c1 e9")
    assert progress.add(["e1", "e2"], "c2") == 0
    assert progress.add(["e9"], "c3") == 0, "only the first page is looked through"


def test_one_that_begins_with_what_comes_takes_nothing_of_its_first_page() -> None:
    progress = Progress(None, new=True)
    assert progress.next_cursor == "now"
    assert progress.add(["e1"], "c1") == 1
    assert progress.position == "c1 "
    assert Progress("c1 ", new=True).next_cursor == "c1"


@given(
    pages=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    chance=st.randoms(use_true_random=False),
    stop=st.integers(0, 20),
)
def test_whenever_a_reader_ends_its_successor_is_told_all_that_was_not_dealt_with(
    pages: list[int], chance: Random, stop: int
) -> None:
    feed: dict[str, tuple[list[str], str]] = {}
    for number, size in enumerate(pages):
        feed[f"c{number}" if number else ""] = ([f"e{number}-{n}" for n in range(size)], f"c{number + 1}")
    every = [one for ids, _ in feed.values() for one in ids]
    progress = Progress(None)
    while (cursor := progress.next_cursor or "") in feed:
        progress.add(*feed[cursor])
    settled = chance.sample(every, min(stop, len(every)))
    for one in settled:
        progress.settle(one)

    successor, told = Progress(progress.position), []
    while (cursor := successor.next_cursor or "") in feed:
        ids, following = feed[cursor]
        told += ids[successor.add(ids, following) :]
    assert set(every) - set(settled) <= set(told)
    first_left = next((n for n, one in enumerate(every) if one not in settled), len(every))
    assert told == every[first_left:]
