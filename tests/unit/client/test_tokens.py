"""Tokens at hand: asked for once, kept while they are good, gone when they are not."""

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tokenkeep.client import (
    AsyncTokenkeep,
    DeadlineExceeded,
    Event,
    EventType,
    InvalidInput,
    NotFound,
    ReauthorizationRequired,
    Tokenkeep,
    Unreachable,
)
from tokenkeep.client.answers.token import Token
from tokenkeep.client.following import ENDING
from tokenkeep.client.token_shelf import Shelf, Vended, Wish
from tokenkeep.domain.incoming_event import fingerprint
from tokenkeep.domain.secret import Secret
from vending_api import ACCOUNT, OTHER, VendingApi


def blocking(api: VendingApi, **options: Any) -> Tokenkeep:
    return Tokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(api), **options)


def on_loop(api: VendingApi, **options: Any) -> AsyncTokenkeep:
    return AsyncTokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(api), **options)


def a_token(name: str = "t") -> Token:
    return Token(access_token=name, headers={"Authorization": f"Bearer {name}"})


def event(kind: str, account_id: str = ACCOUNT) -> Event:
    return Event("evt_1", kind, account_id, 1, datetime.now(UTC), {"account_id": account_id}, {})


@pytest.mark.parametrize(
    ("left", "min_ttl", "given_for"),
    [(3600.0, 60.0, 3540.0), (3600.0, 0.0, 3600.0), (70.0, 60.0, 10.0), (30.0, 60.0, 15.0), (None, 60.0, 300.0)],
)
def test_a_token_is_given_while_it_has_the_life_that_is_wanted(
    left: float | None, min_ttl: float, given_for: float
) -> None:
    shelf, wish = Shelf(most=10, keep=300.0), Wish(ACCOUNT, min_ttl)
    shelf.put(wish, Vended(a_token(), left), now=1000.0)
    assert shelf.find(wish, now=1000.0 + given_for - 0.01) is not None
    assert shelf.find(wish, now=1000.0 + given_for + 0.01) is None
    assert shelf.find(Wish(ACCOUNT, min_ttl, force=True), now=1000.0) is None


def test_a_token_that_was_good_enough_for_another_is_not_given_to_who_wants_a_longer_life() -> None:
    shelf = Shelf(most=10, keep=300.0)
    shelf.put(
        Wish(ACCOUNT, 0.0), Vended(a_token(), 70.0), now=1000.0
    )  # the server has one, which is about to be refreshed
    assert shelf.find(Wish(ACCOUNT, 120.0), now=1000.0) is None
    assert shelf.find(Wish(ACCOUNT, 60.0), now=1000.0) is not None
    shelf.put(Wish(ACCOUNT, 120.0), Vended(a_token(), 70.0), now=1000.0)  # the provider gives no more
    assert shelf.find(Wish(ACCOUNT, 120.0), now=1034.0) is not None
    assert shelf.find(Wish(ACCOUNT, 120.0), now=1036.0) is None


def test_no_more_tokens_are_kept_than_may_be_and_the_one_used_last_stays() -> None:
    shelf = Shelf(most=2, keep=300.0)
    wishes = [Wish("acc_" + str(n) * 32) for n in range(3)]
    for wish in wishes[:2]:
        shelf.put(wish, Vended(a_token(), 3600.0), now=0.0)
    assert shelf.find(wishes[0], now=1.0) is not None
    shelf.put(wishes[2], Vended(a_token(), 3600.0), now=1.0)
    assert [shelf.find(wish, now=2.0) is not None for wish in wishes] == [True, False, True]
    assert len(shelf) == 2


def test_a_wish_that_cannot_be_meant_is_refused_by_name() -> None:
    with blocking(VendingApi()) as client:
        for argument, value in (("min_ttl", -1), ("min_ttl", 1e9), ("wait", 31), ("wait", float("nan"))):
            with pytest.raises(InvalidInput, match=argument):
                client.token(ACCOUNT, **{argument: value})  # type: ignore[arg-type]


def test_fifty_threads_that_ask_at_once_make_one_request() -> None:
    api = VendingApi(gate=threading.Event())
    with blocking(api) as client, ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(client.token, ACCOUNT) for _ in range(50)]
        assert api.gate is not None
        api.gate.set()
        tokens = {future.result().access_token for future in asked}
        assert client.token(ACCOUNT).access_token in tokens
    assert (tokens, api.calls["token"]) == ({"token-1"}, 1)


async def test_fifty_tasks_that_ask_at_once_make_one_request() -> None:
    api = VendingApi()
    async with on_loop(api) as client:
        tokens = await asyncio.gather(*[client.token(ACCOUNT) for _ in range(50)])
        tokens.append(await client.token(ACCOUNT))
    assert ({token.access_token for token in tokens}, api.calls["token"]) == ({"token-1"}, 1)


async def test_a_task_that_is_cancelled_takes_nothing_from_the_others() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    api = VendingApi()

    async def answer(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await go_on.wait()
        return api(request)

    async with AsyncTokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(answer)) as client:
        first = asyncio.create_task(client.token(ACCOUNT))
        await arrived.wait()
        second = asyncio.create_task(client.token(ACCOUNT))
        await asyncio.sleep(0)
        first.cancel()
        go_on.set()
        assert (await second).access_token == "token-1"
        with pytest.raises(asyncio.CancelledError):
            await first
    assert api.calls["token"] == 1


async def test_who_waits_when_the_client_is_closed_is_told_so_and_not_cancelled() -> None:
    arrived = asyncio.Event()

    async def never(_request: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    client = AsyncTokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(never))
    waiting = asyncio.create_task(client.token(ACCOUNT))
    await arrived.wait()
    await client.close()
    with pytest.raises(Unreachable, match="closed"):
        await waiting


async def test_other_options_are_other_patience_with_the_same_tokens() -> None:
    api = VendingApi()

    async def answer(request: httpx.Request) -> httpx.Response:
        if api.number:
            await asyncio.Event().wait()
        return api(request)

    async with AsyncTokenkeep("https://api.test", "tk_key", transport=httpx.MockTransport(answer)) as client:
        hasty = client.with_options(timeout=0.05)
        await client.token(ACCOUNT)
        assert (await hasty.token(ACCOUNT)).access_token == "token-1"
        slow = asyncio.create_task(client.token(OTHER, wait=0))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await hasty.token(OTHER, wait=0)
    with pytest.raises(Unreachable, match="closed"):
        await slow


async def test_tasks_that_are_refused_together_raise_errors_of_their_own() -> None:
    api = VendingApi(answer_first=lambda _name, _body: httpx.Response(404, json={"code": "not_found"}))
    async with on_loop(api) as client:
        errors = await asyncio.gather(*[client.token(ACCOUNT) for _ in range(3)], return_exceptions=True)
    assert {type(error) for error in errors} == {NotFound}
    assert (len({id(error) for error in errors}), api.calls["token"]) == (3, 1)


def test_a_refusal_is_told_to_all_who_asked_and_is_not_kept() -> None:
    api = VendingApi(gate=threading.Event())
    refusing = True

    def refuse(_name: str, _body: dict[str, Any]) -> httpx.Response | None:
        assert api.gate is not None
        assert api.gate.wait(20)
        document = {"code": "reauthorization_required", "detail": "", "reason": "revoked", "connect_url": "https://c"}
        return httpx.Response(409, json=document) if refusing else None

    api.answer_first = refuse
    with blocking(api) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.token, ACCOUNT) for _ in range(8)]
        assert api.gate is not None
        api.gate.set()
        errors = [future.exception() for future in asked]
        assert {type(error) for error in errors} == {ReauthorizationRequired}
        assert {error.connect_url for error in errors if isinstance(error, ReauthorizationRequired)} == {"https://c"}
        refusing = False
        assert client.token(ACCOUNT).access_token == "token-1"


def test_a_token_that_was_forgotten_while_it_was_fetched_is_not_kept() -> None:
    api = VendingApi()
    with blocking(api) as client:

        def forget(_name: str, _body: dict[str, Any]) -> None:
            client.tokens.forget(ACCOUNT)
            api.makes = True

        api.answer_first = forget
        first = client.token(ACCOUNT)
        api.answer_first = lambda _name, _body: None
        api.makes = True
        assert [first.access_token, client.token(ACCOUNT).access_token] == ["token-1", "token-2"]


@pytest.mark.parametrize("kind", list(EventType))
async def test_what_happens_to_an_account_drops_its_token_and_no_other(kind: EventType) -> None:
    api = VendingApi()
    async with on_loop(api) as client:
        await client.token(ACCOUNT)
        await client.token(OTHER)
        client.tokens.heed(event(kind))
        await client.token(ACCOUNT)
        await client.token(OTHER)
    assert api.calls["token"] == (3 if kind in ENDING else 2)


def test_events_after_which_a_token_is_worth_nothing_end_it() -> None:
    names = {kind.rpartition(".")[2] for kind in ENDING}
    assert {"refreshed", "disabled", "reauthorized", "released", "deleted", "token_rejected"} <= names


def test_a_newer_token_is_asked_for_by_force() -> None:
    api = VendingApi()
    with blocking(api) as client:
        tokens = [client.token(ACCOUNT), client.token(ACCOUNT, force=True), client.token(ACCOUNT)]
    assert [token.access_token for token in tokens] == ["token-1", "token-2", "token-2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_was_forked_asks_for_itself_whatever_its_parent_was_doing() -> None:
    api = VendingApi()
    with blocking(api) as client:
        client.token(ACCOUNT)
        with client.tokens._at_hand.flights.lock, client._api._lock:  # as if another thread were at it
            child = os.fork()
            if child == 0:
                try:
                    client.token(ACCOUNT)
                    os._exit(api.calls["token"])
                finally:
                    os._exit(99)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 2
        client.token(ACCOUNT)
    assert api.calls["token"] == 1


def test_a_refused_token_is_reported_and_replaced_once_for_all_threads() -> None:
    api = VendingApi()
    with blocking(api) as client, ThreadPoolExecutor(20) as pool:
        refused = client.token(ACCOUNT)
        asked = [pool.submit(client.tokens.renew, ACCOUNT, refused) for _ in range(20)]
        newer = {token.access_token for future in asked if (token := future.result()) is not None}
        assert newer == {"token-2"}
        assert client.token(ACCOUNT).access_token == "token-2"
    assert api.reported == [refused.fingerprint]


async def test_a_report_that_has_its_effect_later_is_waited_for() -> None:
    api = VendingApi(refreshing=False)
    looks = 0

    def later(name: str, _body: dict[str, Any]) -> None:
        nonlocal looks
        looks += name == "token"
        api.makes = looks in {1, 4}

    api.answer_first = later
    async with on_loop(api) as client:
        refused = await client.token(ACCOUNT)
        newer = await client.tokens.renew(ACCOUNT, refused)
    assert newer is not None
    assert newer.access_token == "token-2"
    assert api.calls["token"] == 4


async def test_without_leave_to_report_a_newer_token_is_had_by_force() -> None:
    api = VendingApi()
    wishes: list[bool] = []

    def forbid(name: str, body: dict[str, Any]) -> httpx.Response | None:
        if name == "token":
            wishes.append(body.get("force", False))
        refusal = {"code": "missing_scope", "detail": "", "scope": "events:write"}
        return httpx.Response(403, json=refusal) if name == "events" else None

    api.answer_first = forbid
    async with on_loop(api) as client:
        refused = await client.token(ACCOUNT)
        newer = await client.tokens.renew(ACCOUNT, refused)
    assert newer is not None
    assert newer.access_token == "token-2"
    assert wishes == [False, False, True]


@pytest.mark.parametrize("life", [3600.0, None])
async def test_of_an_account_that_cannot_be_refreshed_no_newer_token_is_had(life: float | None) -> None:
    api = VendingApi(refreshing=False, life=life)
    async with on_loop(api) as client:
        refused = await client.token(ACCOUNT)
        assert await client.tokens.renew(ACCOUNT, refused) is None
    assert api.reported == [refused.fingerprint]


async def test_a_wrong_account_is_no_reason_to_wait() -> None:
    api = VendingApi(answer_first=lambda _name, _body: httpx.Response(404, json={"code": "not_found"}))
    async with on_loop(api) as client:
        with pytest.raises(NotFound):
            await client.token(ACCOUNT)
    assert api.calls["token"] == 1


def test_who_waits_for_another_thread_waits_no_longer_than_his_own_time() -> None:
    api = VendingApi(gate=threading.Event())
    with blocking(api) as client, ThreadPoolExecutor(1) as pool:
        hasty = client.tokens
        slow = pool.submit(client.token, ACCOUNT)
        assert api.arrived.wait(20)
        with pytest.raises(DeadlineExceeded):
            hasty._at_hand.flights.join(Wish(ACCOUNT).key, lambda _flight: None, lambda: None, 0.01)
        assert api.gate is not None
        api.gate.set()
        assert slow.result().access_token == "token-1"


async def test_a_refused_key_is_reported_too_though_requests_bear_it_elsewhere() -> None:
    api = VendingApi(refreshing=False, life=None, changes={"access_token": None, "headers": {"x-api-key": "the-key"}})
    account = {
        **dict.fromkeys(("source_id", "provider", "environment", "auth_type", "state", "health", "custody"), "x"),
        "id": ACCOUNT,
        "metadata": {},
        "properties": {},
        "credentials": {"api_key": "the-key"},
        **dict.fromkeys(("created_at", "updated_at"), "2030-01-01T00:00:00Z"),
    }

    def tell(name: str, _body: Any) -> httpx.Response | None:
        return httpx.Response(200, json={"data": account}) if name == ACCOUNT else None

    api.answer_first = tell
    async with on_loop(api) as client:
        refused = await client.token(ACCOUNT)
        assert refused.fingerprint is None
        assert await client.tokens.renew(ACCOUNT, refused) is None
    assert api.reported == [fingerprint(Secret("the-key"))]


async def test_a_renewal_in_vain_is_not_made_again_for_a_while() -> None:
    api, now = VendingApi(refreshing=False, life=None), 1000.0
    async with on_loop(api) as client:
        client.tokens._clock = lambda: now
        refused = await client.token(ACCOUNT)
        assert await client.tokens.renew(ACCOUNT, refused) is None
        asked = api.calls.copy()
        assert await client.tokens.renew(ACCOUNT, refused) is None
        assert (api.calls, len(api.reported)) == (asked, 1)
        now += 31.0
        await client.tokens.renew(ACCOUNT, refused)
    assert len(api.reported) == 2


async def test_an_outage_that_the_server_has_not_told_of_is_not_remembered() -> None:
    api = VendingApi()
    async with on_loop(api, max_retries=0) as client:
        refused = await client.token(ACCOUNT)
        api.answer_first = lambda _name, _body: httpx.Response(502)
        assert await client.tokens.renew(ACCOUNT, refused) is None
        api.answer_first = lambda _name, _body: None
        newer = await client.tokens.renew(ACCOUNT, refused)
    assert newer is not None
    assert newer.access_token == "token-2"


@pytest.mark.parametrize(("life", "rest"), [(3600.0, 30.0), (41.0, 10.0)])
def test_a_new_token_that_is_refused_too_is_no_reason_for_one_more(life: float, rest: float) -> None:
    api, now = VendingApi(life=life), 1000.0
    with blocking(api) as client:
        client.tokens._clock = lambda: now
        newer = client.tokens.renew(ACCOUNT, client.token(ACCOUNT))
        assert newer is not None
        now += rest - 0.1
        assert client.tokens.renew(ACCOUNT, newer) is None
        assert client.token(ACCOUNT).access_token == newer.access_token
        assert len(api.reported) == 1
        now += 0.2
        newest = client.tokens.renew(ACCOUNT, newer)
    assert newest is not None
    assert newest.access_token == "token-3"


async def test_what_the_server_does_unasked_needs_no_body() -> None:
    bodies: list[bytes] = []
    api = VendingApi()

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return api(request)

    transport = httpx.MockTransport(answer)
    async with AsyncTokenkeep("https://api.test", "tk_key", transport=transport) as client:
        await client.token(ACCOUNT)
        await client.accounts.token(ACCOUNT)
        await client.accounts.token(ACCOUNT, min_ttl=90.5, wait=2.5)
    assert bodies[:2] == [b"", b""]
    assert json.loads(bodies[2]) == {"min_ttl": 91, "wait": 2.5, "force": False}


def test_who_waits_in_vain_for_another_threads_renewal_has_none() -> None:
    api = VendingApi()
    with blocking(api) as client, ThreadPoolExecutor(1) as pool:
        refused = client.token(ACCOUNT)
        api.gate = threading.Event()
        slow = pool.submit(client.tokens.renew, ACCOUNT, refused)
        assert api.arrived.wait(20)
        assert client.tokens.renew(ACCOUNT, refused, timeout=0.05) is None
        api.gate.set()
        newer = slow.result()
    assert newer is not None
    assert newer.access_token == "token-2"
