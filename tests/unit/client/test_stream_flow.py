"""The decisions over the stream, step by step, without a server."""

import json
import logging
from collections import deque
from typing import Any

import pytest

from tokenkeep.client import stream_scripts as scripts
from tokenkeep.client.consumer_group import Joining
from tokenkeep.client.effects import Beat, Command, Effect, Handle, Pause
from tokenkeep.client.errors import StreamRefused, Unreachable
from tokenkeep.client.retrying import Done, Failed, RetryPolicy
from tokenkeep.client.stream_flow import StreamFlow
from tokenkeep.client.wanted import Wanted
from tokenkeep.domain.errors import TokenkeepError

NAMES = {
    getattr(scripts, name).sha: name.lower()
    for name in ("HOLD", "RENEW", "TAKE", "STEP", "NOTE", "BURY", "RESCUE", "LEAVE")
}
TEXTS = {getattr(scripts, name.upper()).text: name for name in NAMES.values()}
EMPTY = [1000, b"", b"5-0", 0, []]


def found(*entries: tuple[str, str, int], starts: int = 0, record: str = "") -> list[Any]:
    """The answer to `take` with these entries: key, subject and sequence."""
    listed = []
    for key, subject, sequence in entries:
        event = {"id": f"evt_{key}", "type": "tokenkeep.account.refreshed", "subject": subject}
        event |= {"sequence": str(sequence), "time": f"2030-01-01T00:00:{sequence:02}Z"}
        fields = [b"event", json.dumps({**event, "data": {}}).encode()]
        listed.append([key.encode(), starts, record.encode(), fields])
    return [1000, entries[-1][0].encode(), b"", 0, listed]


class Watched:
    """A flow, and what it wants in short: the name of a script with its own arguments, a word of Redis, or the effect."""

    def __init__(self, **joining: Any) -> None:
        self.now = 100.0
        self.stopping = False
        self.flow = StreamFlow(
            Joining("billing", "me", **joining),
            Wanted(),
            RetryPolicy(tries=2),
            clock=lambda: self.now,
            stopping=lambda: self.stopping,
        )
        self.steps = self.flow.run()
        self.effect: Effect | None = next(self.steps)

    @property
    def wants(self) -> Any:
        match self.effect:
            case Command(words) if words[0] in {"EVALSHA", "EVAL"}:
                name = (NAMES if words[0] == "EVALSHA" else TEXTS)[str(words[1])]
                return (name, *words[12:])
            case Command(words):
                return words[0]
            case Handle(event):
                return ("handle", event.id)
            case Pause(seconds):
                return ("pause", seconds)
            case Beat(None):
                return "no beat"
            case Beat():
                return "beat"
            case other:
                return other

    def answer(self, value: Any) -> Any:
        """Answer what is wanted; what is wanted next."""
        try:
            self.effect = self.steps.throw(value) if isinstance(value, TokenkeepError) else self.steps.send(value)
        except StopIteration:
            self.effect = None
        return self.wants

    def come_to_taking(self, *taken: Any) -> Any:
        """From wherever a turn begins, answer up to what was taken; what is wanted then."""
        replies = {"XGROUP": b"OK", "hold": 1, "beat": None, "no beat": None, "rescue": EMPTY}
        while (name := self.wants if isinstance(self.wants, str) else self.wants[0]) != "take":
            self.answer(replies[name])
        return self.answer(taken[0])


def test_a_consumer_makes_its_group_takes_the_lease_and_begins_with_what_is_pending() -> None:
    flow = Watched()
    assert flow.wants == "XGROUP"
    assert flow.answer(StreamRefused("BUSYGROUP Consumer Group name already exists"))[0] == "hold"
    assert flow.answer(1) == "beat"
    assert flow.answer(None)[0] == "rescue"
    assert flow.answer(EMPTY) == ("take", "-", 100)
    assert flow.answer(EMPTY) == "XREAD"
    assert isinstance(flow.effect, Command)
    assert flow.effect.idle
    assert flow.effect.words[-1] == "5-0", "it waits behind what the group was given last"


def test_who_has_not_the_lease_stands_by() -> None:
    flow = Watched()
    flow.answer(b"OK")
    assert flow.answer(0) == ("pause", 1.0)
    assert flow.answer(None)[0] == "hold"


def test_a_script_that_redis_does_not_know_is_sent_whole() -> None:
    flow = Watched()
    flow.answer(b"OK")
    assert isinstance(flow.effect, Command)
    assert flow.effect.words[0] == "EVALSHA"
    flow.answer(StreamRefused("NOSCRIPT No matching script"))
    assert flow.effect.words[0] == "EVAL"
    assert flow.wants == ("hold",)


def test_an_event_is_acknowledged_with_the_step_to_the_next_one() -> None:
    flow = Watched()
    assert flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "a", 2))) == ("step", "1-0", 1)
    assert flow.answer(1) == ("handle", "evt_1-0")
    assert flow.answer(Done()) == ("step", "2-0", 1, "1-0")
    assert flow.answer(1) == ("handle", "evt_2-0")
    assert flow.answer(Done()) == ("step", "", 0, "2-0"), "nothing waits unacknowledged for the next one to come"
    assert flow.answer(1) == ("take", "-", 100)


def test_who_has_lost_the_lease_goes_no_further() -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "a", 2)))
    flow.answer(1)
    assert flow.answer(Done())[0] == "step"
    assert flow.answer(0) == "no beat"
    assert flow.answer(None)[0] == "hold"


def test_what_is_done_is_not_done_again_when_its_acknowledgement_was_lost() -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1)))
    flow.answer(1)
    assert flow.answer(Done()) == ("step", "", 0, "1-0")
    assert flow.answer(Unreachable("ConnectionError")) == "no beat"
    assert flow.answer(None) == ("pause", 0.2)
    flow.answer(None)
    flow.answer(1)
    assert flow.answer(None) == ("step", "", 0, "1-0"), "it is acknowledged before anything else"


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_done_is_not_handled_when_it_is_taken_once_more(*, ordered: bool) -> None:
    flow = Watched(ordered=ordered)
    flow.come_to_taking(found(("1-0", "a", 1)))
    flow.answer(1)
    flow.answer(Done())
    flow.answer(Unreachable("TimeoutError"))
    flow.answer(None)
    flow.answer(None)
    flow.answer(1)
    flow.answer(None)
    flow.answer(Unreachable("TimeoutError"))
    flow.answer(None)
    flow.answer(None)
    flow.answer(1)
    flow.answer(None)
    assert flow.wants == ("step", "", 0, "1-0")
    flow.answer(1)
    assert flow.come_to_taking(EMPTY) == "XREAD"


@pytest.mark.parametrize("due_ms", ["1.7975e+15", "99999999999999", "9" * 400])
def test_an_entry_is_due_whose_wait_cannot_be_meant(due_ms: str) -> None:
    flow = Watched()
    assert flow.come_to_taking(found(("1-0", "a", 1), record=f"0 1 {due_ms}")) == ("step", "1-0", 1)


def test_what_is_nested_too_deeply_to_be_read_becomes_a_dead_letter() -> None:
    flow = Watched()
    taken = [1000, b"1-0", b"", 0, [[b"1-0", 0, b"", [b"event", b"[" * 200_000]]]]
    assert flow.come_to_taking(taken)[:3] == ("bury", "1-0", "not an event: it is no JSON")


def test_out_of_order_an_entry_that_has_become_anothers_is_passed_over() -> None:
    flow = Watched(ordered=False)
    flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "a", 2)))
    assert flow.answer(2) == ("step", "2-0", 1)


def test_a_failure_is_noted_and_the_event_waits() -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "b", 1)))
    flow.answer(1)
    assert flow.answer(Failed("ValueError")) == ("note", "1-0", 1, 1, 1000)
    assert flow.answer(1) == ("step", "2-0", 1)
    flow.answer(1)
    flow.answer(Done())
    assert flow.answer(1) == ("take", "2-0", 100), "what waits is still in hand, so the reading goes on behind it"
    assert flow.answer(EMPTY) == "XREAD"
    flow.now += 1
    assert flow.answer(None) == ("step", "1-0", 2)
    flow.answer(1)
    assert flow.answer(Failed("ValueError"))[:4] == ("bury", "1-0", "ValueError", 2)


def test_what_was_noted_by_another_consumer_counts() -> None:
    flow = Watched()
    taken = found(("1-0", "a", 1), starts=3, record="1 2 3500")
    assert flow.come_to_taking(taken) == ("take", "1-0", 100), "it is due in two and a half seconds"
    assert flow.answer(EMPTY) == "XREAD"
    flow.now += 2.5
    assert flow.answer(None) == ("step", "1-0", 4)
    flow.answer(1)
    assert flow.answer(Failed("ValueError"))[0] == "bury"


@pytest.mark.parametrize("at", ["hold", "rescue", "take"])
@pytest.mark.parametrize("told", ["NOGROUP No such key 'tokenkeep:events'", "no such key script: on @user_script:50."])
def test_a_flush_may_come_between_any_two_steps(at: str, told: str) -> None:
    flow = Watched()
    replies = {"XGROUP": b"OK", "hold": 1, "beat": None, "no beat": None, "rescue": EMPTY}
    while (name := flow.wants if isinstance(flow.wants, str) else flow.wants[0]) != at:
        flow.answer(replies[name])
    assert flow.answer(StreamRefused(told)) == "XGROUP"


def test_after_a_flush_the_group_is_made_anew_from_the_beginning() -> None:
    flow = Watched(beginning=False)
    assert isinstance(flow.effect, Command)
    assert flow.effect.words == ("XGROUP", "CREATE", "tokenkeep:events", "billing", "$", "MKSTREAM")
    assert flow.come_to_taking(StreamRefused("NOGROUP No such key 'tokenkeep:events'")) == "XGROUP"
    assert flow.effect.words == ("XGROUP", "CREATE", "tokenkeep:events", "billing", "0", "MKSTREAM")


def test_what_redis_refuses_for_good_ends_the_flow() -> None:
    flow = Watched()
    with pytest.raises(StreamRefused):
        flow.answer(StreamRefused("WRONGPASS"))


def test_waits_for_a_redis_that_is_away_grow_to_a_bound() -> None:
    flow = Watched()
    waits: deque[float] = deque()
    for _ in range(20):
        assert flow.answer(Unreachable("ConnectionError")) == "no beat"
        waits.append(flow.answer(None)[1])
        flow.answer(None)
    assert list(waits)[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == 15


def test_one_that_is_to_stop_acknowledges_and_leaves() -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "a", 2)))
    flow.answer(1)
    flow.stopping = True
    assert flow.answer(Done()) == "no beat"
    assert flow.answer(None) == "no beat"
    assert flow.answer(None) == ("step", "", 0, "1-0")
    assert flow.answer(1)[0] == "leave"
    assert flow.answer(1) is None


def test_events_that_are_missing_are_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1), ("2-0", "a", 5)))
    with caplog.at_level(logging.WARNING, "tokenkeep.client"):
        flow.answer(1)
        flow.answer(Done())
        flow.answer(1)
        flow.answer(Done())
    assert "events_missing subject=a before=evt_2-0 count=3" in caplog.text


def test_what_another_consumer_handled_in_its_turn_is_not_told_to_be_missing(caplog: pytest.LogCaptureFixture) -> None:
    flow = Watched()
    flow.come_to_taking(found(("1-0", "a", 1)))
    flow.answer(1)
    flow.answer(Done())
    assert flow.answer(1)[0] == "take"
    assert flow.answer(None) == "no beat", "it has lost its turn"
    assert flow.answer(None)[0] == "hold"
    with caplog.at_level(logging.WARNING, "tokenkeep.client"):
        assert flow.come_to_taking(found(("4-0", "a", 4))) == ("step", "4-0", 1)
        flow.answer(1)
        flow.answer(Done())
    assert "events_missing" not in caplog.text


def test_no_more_is_taken_than_fits() -> None:
    flow = Watched()
    number = 0
    for _ in range(10):
        entries = [(f"{number + n + 1}-0", "a", number + n + 1) for n in range(100)]
        number += 100
        flow.come_to_taking(found(*entries, record="1 1 999000", starts=1))
    assert flow.wants[0] == "pause"
