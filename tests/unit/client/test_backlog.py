from datetime import UTC, datetime

import pytest

from tokenkeep.client.backlog import Backlog, Entry
from tokenkeep.client.event import Event


def entry(key: str, subject: str, *, due: float = 0.0) -> Entry:
    event = Event(f"evt_{key}", "tokenkeep.account.refreshed", subject, 1, datetime(2030, 1, 1, tzinfo=UTC), {}, {})
    return Entry(key, event, due=due)


def backlog(*entries: Entry, ordered: bool = True) -> Backlog:
    made = Backlog(ordered=ordered)
    for one in entries:
        made.add(one)
    return made


def key_of(found: Entry | None) -> str | None:
    return None if found is None else found.key


def test_entries_come_in_the_order_in_which_they_were_read() -> None:
    held = backlog(entry("1", "a"), entry("2", "b"), entry("3", "a"))
    seen = []
    while (one := held.next(0.0)) is not None:
        seen.append(one.key)
        held.remove(one.key)
    assert seen == ["1", "2", "3"]
    assert held.first is None
    assert held.next_due() is None


def test_one_that_waits_holds_back_its_own_subject_alone() -> None:
    held = backlog(entry("1", "a", due=10), entry("2", "a"), entry("3", "b"))
    assert key_of(held.next(5.0)) == "3"
    held.remove("3")
    assert held.next(5.0) is None
    assert held.next_due() == 10, "what stands behind the one that waits is not due before it"
    assert key_of(held.next(10.0)) == "1"


def test_out_of_order_it_holds_back_nothing() -> None:
    held = backlog(entry("1", "a", due=10), entry("2", "a"), ordered=False)
    assert key_of(held.next(5.0)) == "2"


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_no_event_holds_back_nothing(*, ordered: bool) -> None:
    held = backlog(Entry("1", None, due=10), Entry("2", None), ordered=ordered)
    assert key_of(held.next(0.0)) == "2"
    assert "1" in held
    assert len(held) == 2
