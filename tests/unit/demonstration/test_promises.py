from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tokenkeep.adapters.demo_provider import Outcome, Presentation
from tokenkeep.cli.demonstration.promises import Aftermath, Calls, ToldEvent, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def presented(token: str, outcome: Outcome) -> Presentation:
    return Presentation(1, token, "alice", NOW, outcome=outcome)


def told(subject: str, *kinds: str) -> list[ToldEvent]:
    return [
        ToldEvent(f"evt_{subject}_{number}", f"tokenkeep.account.{kind}", subject, number)
        for number, kind in enumerate(kinds, start=1)
    ]


ALICE = told("acc_alice", "created", "activated", "refreshed")
BOB = told("acc_bob", "created", "activated", "disabled", "enabled", "disabled")

ALL_IS_WELL = Aftermath(
    presentations=(
        presented("t1", Outcome.NOT_PROCESSED),
        presented("t1", Outcome.GRANTED),
        presented("t2", Outcome.REFUSED),
    ),
    states={"alice": "active", "bob": "disabled"},
    ids={"alice": "acc_alice", "bob": "acc_bob"},
    connected=2,
    left=frozenset({"bob"}),
    some_believed=True,
    usable={"alice": True},
    calls=Calls(handed_out=9, taken=9, sent_away=2),
    all_served=False,
    told=(*ALICE, *BOB),
    heard={"acc_alice": [one.id for one in ALICE], "acc_bob": [one.id for one in BOB]},
    sign="tokenkeep_source_resting",
    was_seen=True,
    is_gone=True,
)


def broken(aftermath: Aftermath) -> list[str]:
    return [one.words for one in judge(aftermath) if not one.kept]


def test_when_all_is_well_every_promise_is_kept_and_shows_its_figures() -> None:
    assert {one.words: one.figures for one in judge(ALL_IS_WELL)} == {
        "no refresh token is spent twice": "2 presented, 1 spent, 0 spent again",
        "nobody is disabled for somebody else's fault": "1 of 1 accounts are active, 0 disabled meanwhile",
        "whoever revoked is disabled, and it is told": "1 of 1 are disabled, 1 told as their latest event",
        "a token that is handed out works": "the provider took 9 of 9, and at the end those of 1 of 1 accounts; 2 callers got none",
        "every change is told once, in order": "8 events, 0 of 2 subjects out of order",
        "the stream tells all of it, in order": "8 events, the same as the database's for 2 of 2",
        "it is to be seen while it lasts, and no longer": "tokenkeep_source_resting showed it, and shows it no more",
    }
    assert broken(ALL_IS_WELL) == []


def test_where_callers_are_to_be_served_all_the_while_it_is_a_promise() -> None:
    served = replace(ALL_IS_WELL, all_served=True, calls=Calls(handed_out=9, taken=9))
    assert broken(served) == []
    assert "callers get tokens all the while" in [one.words for one in judge(served)]


def test_where_nobody_left_nothing_is_said_of_those_who_did() -> None:
    nobody = replace(ALL_IS_WELL, left=frozenset(), states={"alice": "active", "bob": "active"})
    assert len(judge(nobody)) == 6
    assert broken(nobody) == []


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"presentations": [presented("t1", Outcome.GRANTED)] * 2}, "no refresh token is spent twice"),
        ({"presentations": [presented("t1", Outcome.REUSED)]}, "no refresh token is spent twice"),
        (
            {"states": {"alice": "disabled", "bob": "disabled"}},
            "nobody is disabled for somebody else's fault",
        ),
        ({"connected": 3}, "nobody is disabled for somebody else's fault"),
        ({"states": {"alice": "active", "bob": "active"}}, "whoever revoked is disabled, and it is told"),
        ({"usable": {"alice": False}}, "a token that is handed out works"),
        ({"calls": Calls(handed_out=9, taken=8)}, "a token that is handed out works"),
        ({"all_served": True}, "callers get tokens all the while"),
        ({"all_served": True, "calls": Calls()}, "callers get tokens all the while"),
        ({"told": BOB}, "every change is told once, in order"),
        ({"was_seen": False}, "it is to be seen while it lasts, and no longer"),
        ({"is_gone": False}, "it is to be seen while it lasts, and no longer"),
    ],
)
def test_each_promise_can_be_broken_by_itself(changes: dict[str, Any], promise: str) -> None:
    assert broken(replace(ALL_IS_WELL, **changes)) == [promise]


def test_an_account_that_is_wrongly_disabled_for_a_moment_breaks_a_promise_unless_the_provider_is_believed_at_first() -> (
    None
):
    events = told("acc_alice", "created", "activated", "disabled", "enabled", "refreshed")
    heard = {**ALL_IS_WELL.heard, "acc_alice": [one.id for one in events]}
    changed = replace(ALL_IS_WELL, told=(*events, *BOB), heard=heard)
    assert broken(changed) == []
    assert broken(replace(changed, some_believed=False)) == ["nobody is disabled for somebody else's fault"]


@pytest.mark.parametrize(
    "events",
    [
        [*ALICE, ALICE[-1]],
        [ALICE[0], ALICE[2]],
        [ALICE[1], ALICE[0], ALICE[2]],
        told("acc_alice", "created", "disabled", "disabled"),
        told("acc_alice", "created", "disabled", "enabled", "refreshed", "enabled"),
    ],
    ids=["twice", "a gap", "out of order", "disabled twice", "enabled twice"],
)
def test_a_change_that_is_told_twice_or_never_or_out_of_order_breaks_a_promise(events: list[ToldEvent]) -> None:
    heard = {**ALL_IS_WELL.heard, "acc_alice": [one.id for one in events]}
    assert broken(replace(ALL_IS_WELL, told=(*events, *BOB), heard=heard)) == ["every change is told once, in order"]


def test_a_stream_that_misses_an_event_or_tells_it_late_breaks_a_promise() -> None:
    ids = [one.id for one in ALICE]
    for heard in (ids[:-1], ids[::-1], []):
        changed = replace(ALL_IS_WELL, heard={**ALL_IS_WELL.heard, "acc_alice": heard})
        assert broken(changed) == ["the stream tells all of it, in order"]
