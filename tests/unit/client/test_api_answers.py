"""What answers of the API mean to a client, and what is asked again."""

import json
from typing import Any

import httpx
import pytest

from tokenkeep.client import ApiProblem, AsyncTokenkeep, CursorExpired, NotAuthenticated, Tokenkeep, Unreachable
from tokenkeep.client.api_wire import succeeded
from tokenkeep.client.effects import Call, Pause
from tokenkeep.client.event_calls import persistently
from tokenkeep.client.reports import refresh_requested, revoked

ACCOUNT = "acc_" + "0" * 32


def answer(status: int, headers: dict[str, str], body: bytes) -> Any:
    return succeeded(status, headers, body).document()


def problem(code: str, **members: Any) -> bytes:
    return json.dumps({"code": code, "detail": "for a reason", **members}).encode()


def test_a_refusal_tells_its_code_and_its_field() -> None:
    with pytest.raises(ApiProblem) as refused:
        answer(422, {}, problem("invalid_input", field="after"))
    assert (refused.value.status, refused.value.code, refused.value.field) == (422, "invalid_input", "after")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, problem("not_authenticated"), NotAuthenticated),
        (410, problem("cursor_expired"), CursorExpired),
        (410, problem("credentials_erased"), ApiProblem),
        (403, problem("not_allowed"), ApiProblem),
        (302, b"", ApiProblem),
        (404, b"<html>", ApiProblem),
        (429, problem("rate_limited"), Unreachable),
        (500, b"", Unreachable),
        (503, b"[]", Unreachable),
        (200, b"<html>a proxy's</html>", Unreachable),
        (200, b"[]", Unreachable),
        (200, b"[" * 200_000, Unreachable),
    ],
)
def test_each_answer_is_told_by_its_own_error(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer(status, {}, body)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("-1", None), ("9" * 9, 300.0)],
)
def test_a_retry_after_is_told_within_bounds(header: str, seconds: float | None) -> None:
    with pytest.raises(Unreachable) as away:
        answer(503, {"retry-after": header}, b"")
    assert away.value.retry_after == seconds


def test_a_call_is_made_again_after_growing_waits_or_when_it_is_told_to() -> None:
    flow = persistently(Call("GET", "/"))
    effects: list[Any] = [next(flow)]
    for fault in (Unreachable("1"), Unreachable("2", retry_after=7), Unreachable("3"), Unreachable("4")):
        effects += [flow.throw(fault), flow.send(None)]
    waits = [effect.seconds for effect in effects if isinstance(effect, Pause)]
    assert waits == [0.25, 7, 4, 16]
    with pytest.raises(Unreachable, match="5"):
        flow.throw(Unreachable("5"))


def test_a_call_that_may_be_made_again_at_once_is_still_made_after_growing_waits() -> None:
    flow = persistently(Call("GET", "/"))
    next(flow)
    waits = []
    for _ in range(4):
        pause = flow.throw(Unreachable("503", retry_after=0.0))
        assert isinstance(pause, Pause)
        waits.append(pause.seconds)
        flow.send(None)
    assert waits == [0.25, 1, 4, 16]


def test_a_call_that_is_told_to_wait_for_long_is_given_up() -> None:
    flow = persistently(Call("GET", "/"))
    next(flow)
    with pytest.raises(Unreachable) as away:
        flow.throw(Unreachable("later", retry_after=60))
    assert away.value.retry_after == 60


class Flaky:
    """Fails once, then takes everything."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        if len(self.bodies) == 1:
            raise httpx.ReadError("the answer was lost")
        assert request.headers["Authorization"] == "Bearer tk_key"
        ids = [one["id"] for one in json.loads(request.content)]
        return httpx.Response(202, json={"data": [{"source": "/", "id": one, "status": "accepted"} for one in ids]})


async def test_a_report_whose_answer_was_lost_is_sent_again_as_it_is() -> None:
    report = refresh_requested(ACCOUNT)
    for_blocking, for_async = Flaky(), Flaky()
    with Tokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(for_blocking)) as client:
        [reception] = client.events.send(report)
    assert reception.status == "accepted"
    async with AsyncTokenkeep("https://api.test/", "tk_key", transport=httpx.MockTransport(for_async)) as other:
        await other.events.send(report)
    assert len({*for_blocking.bodies, *for_async.bodies}) == 1
    assert len(for_blocking.bodies) == len(for_async.bodies) == 2


def test_reports_that_are_long_are_sent_in_smaller_calls() -> None:
    sizes: list[int] = []

    def take(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.content))
        sent = json.loads(request.content)
        return httpx.Response(202, json={"data": [{"id": one["id"], "status": "accepted"} for one in sent]})

    reports = [revoked(ACCOUNT, reason="\N{GRINNING FACE}" * 200, source="/" + "s" * 254) for _ in range(1_000)]
    with Tokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(take)) as client:
        receptions = client.events.send(*reports)
    assert [one.id for one in receptions] == [report.id for report in reports]
    assert len(sizes) == 2
    assert max(sizes) <= 1024 * 1024


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    def endless(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b" " * (17 * 1024 * 1024))

    call = Call("GET", "/v1/events")
    client = Tokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(endless))
    with client, pytest.raises(Unreachable, match="too long"):
        client._api.carry_out(call)
    async with AsyncTokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(endless)) as other:
        with pytest.raises(Unreachable, match="too long"):
            await other._api.carry_out(call)


@pytest.mark.parametrize("kind", [Tokenkeep, AsyncTokenkeep])
def test_keys_and_passwords_are_shown_by_nothing_of_a_client(kind: type[Tokenkeep | AsyncTokenkeep]) -> None:
    client = kind("https://api.test", "tk_canary", redis="redis://:canary@127.0.0.1")
    shown = [client, vars(client), vars(client._api), vars(client._api._address), vars(client.events)]
    assert "canary" not in repr(shown)
