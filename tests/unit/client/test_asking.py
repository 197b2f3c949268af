"""What is asked again, when, and for how long."""

import pickle
from typing import Any

import httpx
import pytest

from tokenkeep.client import (
    AsyncTokenkeep,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    NotConfigured,
    NotFound,
    RateLimited,
    ServiceUnavailable,
    Tokenkeep,
    TokenUnavailable,
    Unreachable,
)
from tokenkeep.client.api_wire import Reply
from tokenkeep.client.asking import Ask, Patience, asked
from tokenkeep.client.effects import Call, Pause

ACCOUNT = "acc_" + "0" * 32
KEY = "tk_canary"


def play(ask: Ask[Any], patience: Patience, *answers: Any, passing: float = 0.0) -> tuple[list[Any], Any]:
    """The effects of a call, and what it came to; each call takes `passing` seconds."""
    now = 0.0
    flow = asked(ask, patience, lambda: now)
    effects: list[Any] = []
    left = list(answers)
    effect: Any = next(flow)
    while True:
        effects.append(effect)
        try:
            if isinstance(effect, Pause):
                now += effect.seconds
                effect = flow.send(None)
                continue
            now += passing
            answer = left.pop(0)
            effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as end:
            return effects, end.value
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            return effects, error


OK = Reply(200, {}, b"{}")
GET = Ask(Call("GET", "/"), lambda _reply: "read", repeatable=True)
POST = Ask(Call("POST", "/"), lambda _reply: "read")


def away(**facts: Any) -> ServiceUnavailable:
    return ServiceUnavailable(503, "temporarily_unavailable", "", **facts)


def test_what_is_repeatable_is_asked_again_after_growing_waits() -> None:
    effects, result = play(GET, Patience(), away(), Unreachable("ReadError"), OK)
    waits = [effect.seconds for effect in effects if isinstance(effect, Pause)]
    assert result == "read"
    assert 0.125 <= waits[0] <= 0.25 <= waits[1] <= 0.5


def test_a_wait_is_as_long_as_the_server_says() -> None:
    effects, result = play(GET, Patience(), away(retry_after=7.0), OK)
    assert result == "read"
    assert effects[1] == Pause(7.0)


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    effects, error = play(GET, Patience(timeout=5), away(retry_after=7.0))
    assert isinstance(error, ServiceUnavailable)
    assert error.retry_after == 7.0
    assert len(effects) == 1


def test_all_tries_together_take_no_longer_than_the_deadline() -> None:
    effects, error = play(GET, Patience(timeout=10, retries=9), *[Unreachable("ReadError")] * 10, passing=4.0)
    deadlines = [effect.deadline or 0.0 for effect in effects if isinstance(effect, Call)]
    assert isinstance(error, Unreachable)
    assert len(deadlines) == 3
    assert deadlines[0] == 10.0
    assert 5.7 < deadlines[1] < 5.9
    assert 1.2 < deadlines[2] < 1.7


def test_a_change_whose_answer_was_lost_is_not_made_again() -> None:
    for fault in (Unreachable("ReadError"), away(), DeadlineExceeded("no answer in time")):
        effects, error = play(POST, Patience(), fault)
        assert error is fault
        assert len(effects) == 1


def test_a_change_that_never_began_is_made_again() -> None:
    for fault in (Unreachable("ConnectError", maybe_done=False), RateLimited(429, "rate_limited", "", retry_after=1.0)):
        effects, result = play(POST, Patience(), fault, OK)
        assert result == "read"
        assert len(effects) == 3


def test_a_token_that_could_not_be_had_in_time_is_not_asked_for_again() -> None:
    fault = TokenUnavailable(503, "token_unavailable", "", document={"reason": "timeout"})
    effects, error = play(GET, Patience(), fault)
    assert (error, error.reason, len(effects)) == (fault, "timeout", 1)


def test_an_equal_request_that_is_still_worked_at_is_waited_for() -> None:
    busy = Conflict(409, "request_in_progress", "", retry_after=1.0)
    effects, result = play(GET, Patience(), Unreachable("ReadError"), busy, OK)
    assert result == "read"
    assert [effect.seconds for effect in effects if isinstance(effect, Pause)][1] == 1.0
    assert play(POST, Patience(), busy)[1] is busy


def test_no_retries_are_none() -> None:
    assert len(play(GET, Patience(retries=0), away())[0]) == 1


def test_patience_that_cannot_be_meant_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        Tokenkeep("https://api.test", KEY, timeout=0)
    with pytest.raises(InvalidInput, match="max_retries"):
        AsyncTokenkeep("https://api.test", KEY).with_options(max_retries=-1)
    with pytest.raises(InvalidInput, match="most_tokens"):
        Tokenkeep("https://api.test", KEY, most_tokens=0)


def test_a_creation_bears_one_key_however_often_it_is_sent() -> None:
    keys: list[str] = []

    def lose_first(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx.ReadError("the answer was lost")
        data = {"id": "ses_1", "url": "https://keep.test/connect/canary", "expires_at": "2030-01-01T00:00:00Z"}
        return httpx.Response(201, json={"data": data})

    with Tokenkeep("https://api.test", KEY, transport=httpx.MockTransport(lose_first)) as client:
        session = client.connect_sessions.create("src_" + "0" * 32)
        client.connect_sessions.create("src_" + "0" * 32, idempotency_key="mine")
    assert keys[0] == keys[1] != keys[2] == "mine"
    assert session.url.endswith("canary")
    assert "canary" not in repr(session)


def test_a_refusal_tells_what_it_is_and_hides_the_key() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        assert request.headers["User-Agent"].startswith("tokenkeep-python/")
        body = {"code": "not_found", "detail": "there is no such account in this environment"}
        return httpx.Response(404, json=body, headers={"X-Request-Id": "cor_1"})

    client = Tokenkeep("https://api.test", KEY, transport=httpx.MockTransport(refuse))
    with client, pytest.raises(NotFound) as refused:
        client.accounts.get(ACCOUNT)
    error = refused.value
    assert (error.status, error.code, error.correlation_id) == (404, "not_found", "cor_1")
    assert "canary" not in repr(error) + repr(vars(error))
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, a moment ago
    assert (type(copied), str(copied), copied.correlation_id) == (NotFound, str(error), "cor_1")


def test_what_was_refused_here_can_be_handed_from_process_to_process_too() -> None:
    with pytest.raises(InvalidInput) as refused:
        Tokenkeep("https://api.test", KEY, timeout=0)
    copied = pickle.loads(pickle.dumps(refused.value))  # noqa: S301 - our own, a moment ago
    assert (type(copied), str(copied), copied.field) == (InvalidInput, str(refused.value), "timeout")


def test_ids_that_are_none_are_refused_before_anything_is_sent() -> None:
    def never(_request: httpx.Request) -> httpx.Response:
        raise AssertionError

    with Tokenkeep("https://api.test", KEY, transport=httpx.MockTransport(never)) as client:
        for call in (client.accounts.get, client.accounts.delete, client.accounts.enable, client.token):
            for wrong in ("", "src_" + "0" * 32, "../sources", None):
                with pytest.raises(InvalidInput, match="account_id"):
                    call(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="slug"):
            client.providers.get("")


def test_a_client_of_the_callers_own_is_used_and_stays_open() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return httpx.Response(200, json={"data": [], "next_cursor": None})

    own = httpx.Client(transport=httpx.MockTransport(answer), auth=("user", "password"), follow_redirects=True)
    with Tokenkeep("https://api.test", KEY, http_client=own) as client:
        assert list(client.sources.list()) == []
    assert not own.is_closed
    own.close()


@pytest.mark.parametrize("kind", [Tokenkeep, AsyncTokenkeep])
@pytest.mark.parametrize("key", ["tk_canary\n", "tk_canary\r\nX: y", "", "tk_cana ry", "tk_canary\N{EURO SIGN}"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(
    kind: type[Tokenkeep | AsyncTokenkeep], key: str
) -> None:
    with pytest.raises(NotConfigured, match="api_key") as refused:
        kind("https://api.test", key)
    assert "cana" not in str(refused.value)


@pytest.mark.parametrize("kind", [Tokenkeep, AsyncTokenkeep])
@pytest.mark.parametrize(
    "url",
    [
        "http://[x",
        "http://localhost:80a",
        "http://localhost:99999",
        "http://a..b",
        "http://" + "a" * 70,
        "http://\N{SNOWMAN}.test",
        "http://api.test/\x00",
        "ftp://api.test",
        "api.test",
        "",
    ],
)
def test_an_address_that_can_be_none_is_refused(kind: type[Tokenkeep | AsyncTokenkeep], url: str) -> None:
    with pytest.raises(NotConfigured, match="base_url"):
        kind(url, KEY)


def test_an_idempotency_key_that_no_header_can_hold_is_refused_by_name() -> None:
    client = Tokenkeep("https://api.test", KEY)
    for key in ("", "two words", "x" * 241):
        with pytest.raises(InvalidInput, match="idempotency_key"):
            client.webhooks.create("https://app.test", idempotency_key=key)
