from pathlib import Path
from typing import Any

import pytest

from tokenkeep.client import CursorInUse, Event, FileCursorStore, FileDeadLetters, MemoryCursorStore, NotAnEvent
from tokenkeep.client.cursor_stores import CursorStore
from tokenkeep.client.dead_letters import new_letter


def event(name: str = "evt_1") -> Event:
    document: dict[str, Any] = {"id": name, "type": "tokenkeep.account.disabled", "subject": "acc_1", "sequence": "1"}
    return Event.read({**document, "time": "2030-01-01T00:00:00Z", "data": {"reason": "revoked"}})


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_was_saved_last_is_loaded_for_each_group(tmp_path: Path, kind: str) -> None:
    store: CursorStore = FileCursorStore(tmp_path / "new" / "place") if kind == "file" else MemoryCursorStore()
    assert store.load("billing") is None
    assert store.load("mails") is None
    store.save("billing", "c1 ")
    store.save("billing", "c2 e1")
    store.release("billing")
    store.release("nobody")
    assert store.load("billing") == "c2 e1"
    store.release("billing")
    store.release("mails")


def test_a_file_is_one_readers_until_it_lets_go(tmp_path: Path) -> None:
    first, second = FileCursorStore(tmp_path), FileCursorStore(tmp_path)
    first.load("billing")
    with pytest.raises(CursorInUse):
        second.load("billing")
    assert second.load("mails") is None
    first.release("billing")
    assert second.load("billing") is None
    second.release("billing")
    second.release("mails")


def test_nothing_half_written_is_left_beside_a_place(tmp_path: Path) -> None:
    store = FileCursorStore(tmp_path)
    store.load("billing")
    for number in range(3):
        store.save("billing", f"c{number} ")
    store.release("billing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["billing.cursor", "billing.lock"]


def test_a_letter_that_comes_again_is_one_letter(tmp_path: Path) -> None:
    box = FileDeadLetters(tmp_path)
    assert box.list("billing") == []
    for tries in (1, 2):
        box.put("billing", new_letter(event(), "ValueError", tries))
    [letter] = box.list("billing")
    assert (letter.id, letter.tries, letter.readable_event()) == ("evt_1", 2, event())
    assert box.list("mails") == []


def test_an_id_that_leads_elsewhere_is_no_file(tmp_path: Path) -> None:
    box = FileDeadLetters(tmp_path)
    with pytest.raises(NotAnEvent):
        box.put("billing", new_letter(event("../../x"), "ValueError", 1))
    with pytest.raises(NotAnEvent):
        box.discard("billing", "../x")
