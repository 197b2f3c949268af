import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from tokenkeep.cli.demonstration.board import Board
from tokenkeep.cli.demonstration.plan import Plan, name_of
from tokenkeep.cli.demonstration.screen import draw, state_text
from tokenkeep.cli.demonstration.subscriber import HeardEvent, read_event

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def an_account(name: str = "alice", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"acc_{name}",
        "external_id": name,
        "state": "active",
        "health": "healthy",
        "disabled": None,
        "last_error": None,
        "expires_at": "2026-01-01T12:00:15Z",
        "last_refreshed_at": "2026-01-01T11:59:45.250Z",
        **changes,
    }


def a_disabled_account(name: str) -> dict[str, Any]:
    return an_account(name, state="disabled", disabled={"reason": "revoked"})


def an_event(kind: str, name: str = "alice", *, reason: str | None = None, number: int = 1) -> HeardEvent:
    return HeardEvent(f"evt_{number:08}", f"tokenkeep.account.{kind}", f"acc_{name}", NOW, "src_1", name, reason)


class Lines:
    """What a plain show would print."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, at: datetime, line: str) -> None:
        assert at == NOW
        self.all.append(line)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def board(lines: Lines) -> Board:
    return Board(on_line=lines, now=lambda: NOW)


def drawn(board: Board, *, width: int = 100, height: int = 24) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(draw(board, lifetime_s=30, now=NOW, height=height))
    return capture.get()


def test_each_event_and_each_happening_is_one_line(board: Board, lines: Lines) -> None:
    board.see(an_account())
    board.tell("the provider revoked alice's grant")
    board.hear(an_event("refreshed"))
    board.hear(an_event("refreshed"))
    board.hear(an_event("disabled", reason="revoked"))

    assert lines.all == [
        "the provider revoked alice's grant",
        "tokenkeep.account.refreshed alice generation 1",
        "tokenkeep.account.refreshed alice generation 2",
        "tokenkeep.account.disabled alice (revoked)",
    ]
    assert (board.generations["acc_alice"], board.disabled) == (2, 1)


def test_the_picture_shows_accounts_events_and_what_is_happening(board: Board) -> None:
    board.see(an_account("alice"))
    board.see(a_disabled_account("bob"))
    board.see(an_account("carol", last_refreshed_at=None, expires_at=None))
    board.hear(an_event("refreshed", number=12_345_678))
    board.hear(an_event("disabled", "bob", reason="revoked"))
    board.tell("the provider revoked bob's grant")

    text = drawn(board)

    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert rows["alice"].split()[-6:] == ["15", "s", "15", "s", "ago", "1"]
    assert "disabled: revoked" in rows["bob"]
    assert "━" in rows["alice"]
    assert "━" not in rows["bob"]
    assert "tokenkeep.account.disabled" in text
    assert "…12345678" in text
    assert "bob (revoked)" in text
    assert text.rstrip().endswith("» the provider revoked bob's grant")


def test_every_row_fits_a_terminal_of_eighty_columns(board: Board) -> None:
    board.see(an_account("ursula-99"))
    board.see(a_disabled_account("mallory-99"))
    board.hear(an_event("token_rejected", "mallory-99"))

    text = drawn(board, width=80)

    assert "mallory-99" in text
    assert "disabled: revoked" in text
    assert "tokenkeep.account.token_rejected" in text
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("changes", "words", "style"),
    [
        ({}, "active", "green"),
        ({"last_error": {"reason": "timeout"}}, "active", "green"),
        ({"health": "failing", "last_error": {"reason": "timeout"}}, "failing: timeout", "yellow"),
        ({"state": "disabled", "disabled": {"reason": "revoked"}}, "disabled: revoked", "red"),
        ({"state": "pending"}, "pending", "dim"),
    ],
)
def test_a_state_has_its_colour_and_its_reason(board: Board, changes: dict[str, Any], words: str, style: str) -> None:
    board.see(an_account(**changes))

    text = state_text(board.rows[0])

    assert (text.plain, text.style) == (words, style)


def test_of_the_accounts_that_ended_only_the_latest_stay_on_the_board(board: Board) -> None:
    board.see(an_account("zoe"))
    for number in range(9):
        board.see(a_disabled_account(f"user-{number}"))

    assert [row.name for row in board.rows] == ["zoe", "user-5", "user-6", "user-7", "user-8"]
    assert board.knows("acc_user-0")
    board.see(an_account("user-0"))
    assert "user-0" in [row.name for row in board.active]


def test_names_do_not_run_out() -> None:
    assert [name_of(number) for number in (0, 1, 25, 26, 53)] == ["alice", "bob", "zoe", "alice-2", "bob-3"]
    assert len({name_of(number) for number in range(500)}) == 500


@pytest.mark.parametrize(("accounts", "fewest"), [(1, 1), (2, 2), (6, 2)])
def test_revoking_spares_two_accounts(accounts: int, fewest: int) -> None:
    assert Plan(accounts, 30, 45, None, plain=True).fewest_active == fewest


def test_an_entry_of_the_stream_is_read() -> None:
    document = {
        "time": "2026-01-01T12:00:00.000Z",
        "data": {"source_id": "src_1", "external_id": "alice", "reason": "revoked"},
    }
    fields = {
        b"id": b"evt_00000001",
        b"type": b"tokenkeep.account.disabled",
        b"subject": b"acc_alice",
        b"event": json.dumps(document).encode(),
    }

    assert read_event(fields) == an_event("disabled", reason="revoked")


@pytest.mark.parametrize("event", [b"", b"[]", b'{"data": 1}', b'{"data": {}, "time": "yesterday"}'])
def test_an_entry_that_is_no_event_is_passed_over(event: bytes) -> None:
    assert read_event({b"id": b"1", b"type": b"t", b"subject": b"s", b"event": event}) is None


def test_a_token_that_ran_out_has_no_time_left(board: Board) -> None:
    board.see(an_account(expires_at="2026-01-01T11:00:00Z"))

    assert " 0 s " in drawn(board)


def test_on_a_low_screen_older_events_give_way(board: Board) -> None:
    for name in ("alice", "bob", "carol"):
        board.see(an_account(name))
    for number in range(20):
        board.hear(an_event("refreshed", number=number))

    assert drawn(board, height=40).count("tokenkeep.account.refreshed") == 8
    low = drawn(board, height=14)
    assert (low.count("tokenkeep.account.refreshed"), len(low.splitlines())) == (5, 13)
    assert "…00000019" in low
    assert drawn(board, height=5).count("tokenkeep.account.refreshed") == 2


def test_the_same_happening_twice_in_a_row_is_told_once(board: Board, lines: Lines) -> None:
    for line in ("the API is away", "the API is away", "it is back", "the API is away"):
        board.tell(line)

    assert lines.all == ["the API is away", "it is back", "the API is away"]
