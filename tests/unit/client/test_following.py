"""Tokens at hand follow events: through outages, through what was missed, and not a moment longer than is wanted."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from certificates import LOOPBACK, make_authority
from tokenkeep.client import CursorExpired, Event, Tokenkeep, Unreachable
from tokenkeep.client.api_wire import Reply
from tokenkeep.client.effects import Call, Effect, Pause
from tokenkeep.client.following import _Flow
from tokenkeep.client.lifeline import Lifeline
from tokenkeep.client.performing import perform
from vending_api import ACCOUNT

EXPIRED = CursorExpired(410, "cursor_expired", "")
WAIT_S = 20.0


def page(cursor: str, *events: str) -> Reply:
    listed = [
        {"id": name, "type": "tokenkeep.account.disabled", "subject": ACCOUNT, "sequence": "1", "data": {}}
        | {"time": "2030-01-01T00:00:00Z"}
        for name in events
    ]
    return Reply(200, {}, json.dumps({"data": listed, "next_cursor": cursor}).encode())


class Followed:
    """What the feed was asked, and what was heard of it. `answers` are given in order; after the last one it is to stop."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.heard: list[str] = []
        self.cleared = 0
        self.waits: list[float] = []
        flow = _Flow(self._heed, self._clear)
        perform(flow.run(lambda: not self.answers), self._do)

    def _heed(self, event: Event) -> None:
        self.heard.append(event.id)

    def _clear(self) -> None:
        self.cleared += 1

    def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Pause):
            return self.waits.append(effect.seconds)
        assert isinstance(effect, Call)
        self.asked.append(effect.parameters["after"])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_events_are_heard_from_now_on_each_once() -> None:
    followed = Followed(page("c1"), page("c2", "evt_1", "evt_2"), page("c3"), page("c4", "evt_3"))
    assert followed.asked == ["now", "c1", "c2", "c3"]
    assert followed.heard == ["evt_1", "evt_2", "evt_3"]
    assert followed.cleared == 1


def test_an_outage_is_waited_for_and_nothing_is_missed() -> None:
    followed = Followed(page("c1"), Unreachable("ReadError"), Unreachable("x", retry_after=9.0), page("c2", "evt_1"))
    assert followed.asked == ["now", "c1", "c1", "c1"]
    assert followed.waits == [0.5, 9.0]
    assert followed.heard == ["evt_1"]


def test_after_events_were_missed_all_tokens_are_forgotten_and_no_outage_ends_it() -> None:
    away = [Unreachable("ReadError")] * 7
    followed = Followed(page("c1"), EXPIRED, *away, page("c2"), page("c3", "evt_1"))
    assert followed.asked == ["now", "c1", *["now"] * 8, "c2"]
    assert followed.heard == ["evt_1"]
    assert followed.cleared == 3


def test_whatever_ends_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    pinned, go_on = threading.Event(), threading.Event()

    def answer(_request: httpx.Request) -> httpx.Response:
        if pinned.is_set():
            go_on.wait(WAIT_S)
            raise ValueError("canary")
        pinned.set()
        return httpx.Response(200, content=page("c1").body)

    with Tokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(answer)) as client:
        following = client.tokens.follow_events()
        [thread] = [one for one in threading.enumerate() if one.name == "tokenkeep-tokens"]
        go_on.set()
        thread.join(WAIT_S)
        assert isinstance(following.error, ValueError)
    assert caplog.messages == ["token_events_ended error=ValueError"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_wait_for_an_answer_ends_when_its_lifeline_is_cut(tmp_path: Path, scheme: str) -> None:
    authority = make_authority(tmp_path)
    lifeline, asked = Lifeline(), threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        if scheme == "https":
            connection = authority.server(*LOOPBACK).wrap_socket(connection, server_side=True)
        connection.recv(1)
        asked.set()
        with connection:
            gone.wait(WAIT_S)

    def cut() -> None:
        asked.wait(WAIT_S)
        lifeline.cut()

    gone = threading.Event()
    trusting = authority.trusting()
    with socket.create_server(("127.0.0.1", 0)) as server, httpx.Client(verify=trusting, timeout=WAIT_S) as http:
        serving = threading.Thread(target=serve)
        serving.start()
        cutting = threading.Thread(target=cut)
        cutting.start()
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(httpx.TransportError) as ended:
            http.get(url, extensions={"trace": lifeline.watch})
        gone.set()
        serving.join()
        cutting.join()
    assert not isinstance(ended.value, httpx.TimeoutException)
