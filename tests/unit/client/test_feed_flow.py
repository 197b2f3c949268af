"""The decisions over the feed, step by step, without a server."""

from typing import Any

import pytest

from tokenkeep.client.effects import Bury, Call, Effect, Handle, LoadPosition, Pause, SavePosition
from tokenkeep.client.errors import ApiProblem, GaveUp, Unreachable
from tokenkeep.client.feed_flow import FeedFlow
from tokenkeep.client.retrying import Done, Failed, Outcome, Postponed, Rejected, RetryPolicy
from tokenkeep.client.wanted import Wanted
from tokenkeep.domain.errors import TokenkeepError


def page(cursor: str, *events: tuple[str, str]) -> dict[str, Any]:
    """A page with these events: id and subject."""
    listed = [
        {"id": name, "type": "tokenkeep.account.refreshed", "subject": subject, "sequence": "1", "data": {}}
        | {"time": "2030-01-01T00:00:00Z"}
        for name, subject in events
    ]
    return {"data": listed, "next_cursor": cursor}


class Watched:
    """A flow, and what it wants."""

    def __init__(self, position: str | None = None, *, new: bool = False) -> None:
        self.now = 100.0
        self.stopping = False
        self.steps = FeedFlow(
            Wanted(),
            RetryPolicy(tries=2),
            new=new,
            patience=25,
            clock=lambda: self.now,
            stopping=lambda: self.stopping,
        ).run()
        assert next(self.steps) == LoadPosition()
        self.wants: Effect | None = None
        self.answer(position)

    def answer(self, value: Any) -> Effect | None:
        try:
            self.wants = self.steps.throw(value) if isinstance(value, TokenkeepError) else self.steps.send(value)
        except StopIteration:
            self.wants = None
        return self.wants

    @property
    def asks(self) -> Any:
        """The cursor and the wait of the call that is wanted."""
        assert isinstance(self.wants, Call)
        return self.wants.parameters["after"], self.wants.parameters["wait"]

    def handles(self, outcome: Outcome) -> str:
        """The event that is to be handled, which it is with this outcome."""
        assert isinstance(self.wants, Handle)
        event_id = self.wants.event.id
        self.answer(outcome)
        return event_id


def test_the_place_is_kept_after_each_event_and_the_next_page_asked_for_behind_it() -> None:
    flow = Watched("c1 ")
    assert flow.asks == ("c1", 25)
    flow.answer(page("c2", ("e1", "a"), ("e2", "a")))
    assert flow.handles(Done()) == "e1"
    assert flow.wants == SavePosition("c1 e1")
    flow.answer(None)
    assert flow.handles(Done()) == "e2"
    assert flow.wants == SavePosition("c2 ")
    flow.answer(None)
    assert flow.asks == ("c2", 25)


def test_a_place_that_moves_without_events_is_kept_too() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2"))
    assert flow.wants == SavePosition("c2 ")


def test_one_that_begins_with_what_comes_does_not_wait_before_it_knows_where_that_is() -> None:
    flow = Watched(new=True)
    assert flow.asks == ("now", None)
    flow.answer(page("c1"))
    assert flow.wants == SavePosition("c1 ")
    flow.answer(None)
    assert flow.asks == ("c1", 25)


def test_a_failing_event_holds_back_the_place_and_a_call_waits_no_longer_than_for_it() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2", ("e1", "a"), ("e2", "b"), ("e3", "a")))
    assert flow.handles(Failed("ValueError")) == "e1"
    assert flow.handles(Done()) == "e2"
    assert flow.asks == ("c2", 1)
    flow.answer(page("c3", ("e4", "b")))
    assert flow.handles(Done()) == "e4"
    flow.now += 1
    flow.answer(page("c3"))
    assert flow.handles(Done()) == "e1"
    assert flow.wants == SavePosition("c1 e2")
    flow.answer(None)
    assert flow.handles(Done()) == "e3"
    assert flow.wants == SavePosition("c3 ")


def test_what_fails_too_often_or_is_rejected_is_buried_before_the_place_moves() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2", ("e1", "a"), ("e2", "a")))
    flow.handles(Failed("ValueError"))
    flow.now += 60
    flow.answer(page("c2"))
    flow.handles(Failed("KeyError"))
    assert isinstance(flow.wants, Bury)
    assert (flow.wants.event.id, flow.wants.reason, flow.wants.tries) == ("e1", "KeyError", 2)
    assert flow.answer(value=True) == SavePosition("c1 e1")
    flow.answer(None)
    flow.handles(Rejected("not ours"))
    assert isinstance(flow.wants, Bury)
    with pytest.raises(GaveUp):
        flow.answer(value=False)


def test_to_ask_for_another_time_is_no_failure() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2", ("e1", "a")))
    for _ in range(20):
        assert flow.handles(Postponed(5)) == "e1"
        flow.now += 5
        flow.answer(page("c2"))
    assert flow.handles(Done()) == "e1"


@pytest.mark.parametrize(("told", "waits"), [(None, [0.5, 1.0, 2.0]), (7.0, [7.0, 7.0, 7.0])])
def test_an_api_that_is_away_is_asked_later_and_later_or_when_it_says(told: float | None, waits: list[float]) -> None:
    flow = Watched("c1 ")
    seen = []
    for _ in waits:
        pause = flow.answer(Unreachable("503", retry_after=told))
        assert isinstance(pause, Pause)
        seen.append(pause.seconds)
        flow.now += pause.seconds
        flow.answer(None)
    assert seen == waits
    flow.answer(page("c2"))
    flow.answer(None)
    assert flow.answer(Unreachable("503")) == Pause(0.5), "an answer ends the row of faults"


def test_no_more_is_read_than_fits() -> None:
    flow = Watched("c1 ")
    for number in range(10):
        flow.answer(page(f"c{number + 2}", *[(f"e{number}-{n}", "a") for n in range(100)]))
        if isinstance(flow.wants, Handle):
            flow.handles(Postponed(300))
    assert flow.wants == Pause(25)


def test_a_refusal_ends_it() -> None:
    flow = Watched("c1 ")
    with pytest.raises(ApiProblem):
        flow.answer(ApiProblem(403, "not_allowed", "the API key lacks the scope events:read"))


def test_one_that_is_to_stop_ends_after_the_event_under_way() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2", ("e1", "a"), ("e2", "a")))
    flow.stopping = True
    flow.handles(Done())
    assert flow.wants == SavePosition("c1 e1")
    assert flow.answer(None) is None


def test_the_api_is_not_asked_before_it_said_though_an_event_is_due_earlier() -> None:
    flow = Watched("c1 ")
    flow.answer(page("c2", ("e1", "a")))
    assert flow.handles(Failed("ValueError")) == "e1"
    flow.answer(Unreachable("429 address_rate", retry_after=60.0))
    assert flow.wants == Pause(1.0), "the event is due again after a second"
    flow.now += 1.0
    flow.answer(None)
    assert flow.handles(Done()) == "e1"
    flow.answer(None)
    assert flow.wants == Pause(59.0)


def test_an_api_that_says_at_once_is_still_asked_later_and_later() -> None:
    flow = Watched("c1 ")
    waited = []
    for _ in range(3):
        pause = flow.answer(Unreachable("503", retry_after=0.0))
        assert isinstance(pause, Pause)
        waited.append(pause.seconds)
        flow.now += pause.seconds
        assert isinstance(flow.answer(None), Call)
    assert waited == [0.5, 1.0, 2.0]
