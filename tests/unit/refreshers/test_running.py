"""A refresher is called once and within its time, and whatever it does becomes a verdict."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import orjson
import pytest
import structlog

from tokenkeep.adapters.refreshers.running import RunningRefreshers
from tokenkeep.adapters.token_endpoint.response import MAX_BODY_BYTES
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.refresher import (
    MaybeSpent,
    Misconfigured,
    RefreshCall,
    Refresher,
    RefresherSays,
    Refused,
    TryLater,
)
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Misconfigured as ClientMisconfigured
from tokenkeep.domain.verdict import NotSent, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer

CALL = RefreshCall(
    refresher="acme",
    attempt_id="att_1",
    account_id="acc_1",
    source_id="src_1",
    provider="acme",
    external_id=None,
    options={},
    properties={},
    client_id="client",
    client_secret=Secret("shh"),
    refresh_token=Secret("canary-token"),
    scopes=("a",),
)
Calls = Callable[[RefreshCall], Awaitable[object]]


async def said_by(refresher: Calls, *, within_s: float = 5.0, now: float = 0.0) -> Answer | Verdict:
    known: dict[str, Refresher] = {"acme": refresher}  # type: ignore[dict-item]  # some say what they must not
    running = RunningRefreshers(known, now=lambda: now)
    return await running.call(CALL, deadline=asyncio.get_running_loop().time() + within_s, send_before=1.0)


def raising(error: BaseException) -> Refresher:
    async def refresher(_call: RefreshCall) -> Mapping[str, object]:
        raise error

    return refresher


async def test_a_token_set_is_handed_on_as_an_answer_of_the_standard() -> None:
    async def refresher(call: RefreshCall) -> object:
        return {"access_token": "a", "refresh_token": call.refresh_token}

    answer = await said_by(refresher)
    assert isinstance(answer, Answer)
    assert (answer.status, orjson.loads(answer.body)) == (200, {"access_token": "a", "refresh_token": "canary-token"})


async def test_a_refresher_knows_until_when_it_may_take() -> None:
    seen: list[float] = []

    async def refresher(call: RefreshCall) -> object:
        seen.append(call.deadline - asyncio.get_running_loop().time())
        return {}

    await said_by(refresher, within_s=5.0)
    assert 4.0 < seen[0] <= 5.0


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (Refused(), Revoked("invalid_grant", None, None)),
        (Refused("grant_withdrawn"), Revoked("grant_withdrawn", None, None)),
        (Refused("not a code: " + "x" * 90), Revoked("invalid_grant", None, None)),
        (TryLater(), RateLimited(None, None)),
        (TryLater(7), RateLimited(timedelta(seconds=7), None)),
        (TryLater(-1), RateLimited(timedelta(0), None)),
        (TryLater(float("nan")), RateLimited(None, None)),
        (TryLater(1e300), RateLimited(timedelta(days=1), None)),
        (Misconfigured(), ClientMisconfigured(FailureReason.INVALID_CLIENT, "invalid_client", None)),
        (MaybeSpent(), Unavailable(FailureReason.NETWORK_ERROR, maybe_spent=True)),
        (RefresherSays(), Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)),
        (ValueError("canary-token"), Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)),
        (TimeoutError(), Unavailable(FailureReason.TIMEOUT, maybe_spent=True)),
        (asyncio.CancelledError(), Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)),
        (SystemExit("canary"), Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)),
        (KeyboardInterrupt(), Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)),
    ],
)
async def test_what_it_raises_is_a_word_or_leaves_it_open(said: BaseException, verdict: Verdict) -> None:
    with structlog.testing.capture_logs() as log:
        assert await said_by(raising(said)) == verdict
    assert "canary" not in repr(log)


async def test_one_that_wants_the_process_to_end_ends_alone_and_is_named() -> None:
    async def refresher(_call: RefreshCall) -> object:
        await asyncio.sleep(0)
        raise SystemExit(1)

    neighbour = asyncio.create_task(asyncio.sleep(0.05, "settled"))
    with structlog.testing.capture_logs() as log:
        await said_by(refresher)
    assert await neighbour == "settled"
    assert [line["error"] for line in log] == ["SystemExit"]


@pytest.mark.parametrize(
    "said",
    [None, "canary-token", ["canary-token"], {"access_token": object()}, {1: {2, 3}}, {"a": "x" * MAX_BODY_BYTES}],
)
async def test_what_is_no_token_set_leaves_it_open(said: object) -> None:
    async def refresher(_call: RefreshCall) -> object:
        return said

    with structlog.testing.capture_logs() as log:
        verdict = await said_by(refresher)
    assert verdict == Unavailable(FailureReason.INSUFFICIENT_RESPONSE, maybe_spent=True)
    assert "canary" not in repr(log)


async def test_one_that_takes_too_long_is_told_to_end_and_not_waited_for() -> None:
    ended = asyncio.Event()

    async def refresher(_call: RefreshCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await said_by(refresher, within_s=0.05) == Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
    await asyncio.wait_for(ended.wait(), 5)


async def test_one_that_will_not_end_holds_nobody_and_what_it_says_later_is_heard_by_nobody() -> None:
    go_on, done = asyncio.Event(), asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))

    async def refresher(_call: RefreshCall) -> object:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        done.set()
        raise ValueError("canary-token")

    assert await said_by(refresher, within_s=0.05) == Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
    go_on.set()
    await asyncio.wait_for(done.wait(), 5)
    for _ in range(3):
        await asyncio.sleep(0)
    assert complaints == []


async def test_an_answer_that_came_while_the_process_stood_still_counts() -> None:
    """The deadline has passed when the loop goes on, and the answer is all but there."""

    async def refresher(_call: RefreshCall) -> object:
        time.sleep(0.1)  # noqa: ASYNC251 - the whole process stands still
        for _ in range(20):
            await asyncio.sleep(0)
        return {"access_token": "a"}

    assert isinstance(await said_by(refresher, within_s=0.05), Answer)


async def test_one_that_would_begin_too_late_after_the_intent_is_not_called() -> None:
    async def refresher(_call: RefreshCall) -> object:
        raise AssertionError("it was called")

    assert await said_by(refresher, now=2.0) == NotSent(FailureReason.INTERNAL_ERROR)


async def test_a_cancelled_caller_takes_the_refresher_along() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def refresher(_call: RefreshCall) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.create_task(said_by(refresher))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(ended.wait(), 5)
