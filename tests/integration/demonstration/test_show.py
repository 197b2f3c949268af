import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import redis.asyncio

from tokenkeep.adapters.demo_provider import DemoProvider, ProviderServer
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.cli.demonstration.api import DemoApi
from tokenkeep.cli.demonstration.board import Board
from tokenkeep.cli.demonstration.browser import DemoBrowser, open_browser
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.plan import Plan
from tokenkeep.cli.demonstration.show import Show
from tokenkeep.cli.demonstration.subscriber import HeardEvent, Subscriber
from tokenkeep.domain.secret import Secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = "src_1"


@dataclass
class FakeApi:
    """Answers as the HTTP API does. Without a `token_url` it takes codes on trust; it refreshes nothing."""

    token_url: str | None = None
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    refusal: httpx.Response | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.refusal is not None:
            return self.refusal
        match request.method, request.url.path.split("/")[2:]:
            case "POST", ["sources"]:
                return httpx.Response(201, json={"data": {"id": SOURCE}})
            case "GET", ["sources"]:
                return self._page(request, self.sources)
            case "POST", ["sources", _, "pause"]:
                return httpx.Response(200, json={"data": {}})
            case "POST", ["accounts"]:
                return httpx.Response(201, json={"data": await self._create(request)})
            case "GET", ["accounts"]:
                active = [account for account in self.accounts.values() if account["state"] == "active"]
                return self._page(request, active)
            case "GET", ["accounts", account_id]:
                return httpx.Response(200, json={"data": self.accounts[account_id]})
            case _:
                return httpx.Response(404)

    async def _create(self, request: httpx.Request) -> dict[str, Any]:
        body = orjson.loads(request.content)
        name, given = body["external_id"], body["credentials"]
        if self.token_url is not None:
            form = {"grant_type": "authorization_code", "code": given["authorization_code"], **given}
            async with httpx.AsyncClient(trust_env=False) as http:
                await http.post(self.token_url, data=form, auth=("demo-client", "demo-secret"))
        return self.accounts.setdefault(
            f"acc_{name}",
            {
                "id": f"acc_{name}",
                "external_id": name,
                "state": "active",
                "health": "healthy",
                "disabled": None,
                "last_error": None,
                "expires_at": (NOW + timedelta(seconds=len(self.accounts))).isoformat(),
                "last_refreshed_at": None,
            },
        )

    def _page(self, request: httpx.Request, things: list[Any]) -> httpx.Response:
        """Two at a time, so that paging matters."""
        start = int(request.url.params.get("cursor", "0"))
        more = str(start + 2) if start + 2 < len(things) else None
        return httpx.Response(200, json={"data": things[start : start + 2], "next_cursor": more})


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def api(fake: FakeApi) -> AsyncIterator[DemoApi]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(fake), base_url="http://api") as http:
        yield DemoApi(http)


@pytest.fixture
async def provider() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(DemoProvider()) as server:
        yield server


@pytest.fixture
def redeeming_api(fake: FakeApi, api: DemoApi, provider: ProviderServer) -> DemoApi:
    fake.token_url = f"{provider.url}/token"
    return api


@pytest.fixture
async def browser(provider: ProviderServer) -> AsyncIterator[DemoBrowser]:
    async with open_browser(provider.url, client_id="demo-client") as opened:
        yield opened


@pytest.fixture
async def stream(redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    client = connect(Secret(redis_url))
    await client.delete("tokenkeep:events")
    yield client
    await client.aclose()


@pytest.fixture
async def subscriber(stream: "redis.asyncio.Redis", redis_url: str) -> AsyncIterator[Subscriber]:
    await publish(stream, 0)
    async with Subscriber(connect(Secret(redis_url)), group="demo-test") as joined:
        yield joined


async def publish(stream: "redis.asyncio.Redis", number: int, *, source_id: str = SOURCE) -> None:
    data = {"source_id": source_id, "external_id": "alice"}
    await stream.xadd(
        "tokenkeep:events",
        {
            "id": f"evt_{number}",
            "type": "tokenkeep.account.refreshed",
            "subject": "acc_alice",
            "event": orjson.dumps({"time": NOW.isoformat(), "data": data}),
        },
    )


async def test_a_consent_gives_credentials_that_the_provider_takes(
    provider: ProviderServer, browser: DemoBrowser
) -> None:
    given = await browser.consent("carol")

    async with httpx.AsyncClient(base_url=provider.url, trust_env=False) as http:
        form = {
            "grant_type": "authorization_code",
            "code": given["authorization_code"],
            "redirect_uri": given["redirect_uri"],
            "code_verifier": given["code_verifier"],
        }
        answer = await http.post("/token", data=form, auth=("demo-client", "demo-secret"))
    assert answer.status_code == 200
    assert [grant.user for grant in provider.provider.grants()] == ["carol"]


async def test_a_provider_that_refuses_the_client_is_told_in_one_line(provider: ProviderServer) -> None:
    async with open_browser(provider.url, client_id="another") as browser:
        with pytest.raises(DemoFailure, match="the provider's page was answered 400"):
            await browser.consent("carol")


async def test_a_refusal_of_the_api_names_the_call_the_code_and_the_field(fake: FakeApi, api: DemoApi) -> None:
    problem = {"code": "forbidden_address", "field": "options.token_url", "detail": "it leads to a private address"}
    fake.refusal = httpx.Response(422, json=problem)

    with pytest.raises(DemoFailure) as caught:
        await api.create_source("http://127.0.0.1:1", client_id="demo-client", client_secret=Secret("canary-5f"))

    assert str(caught.value) == (
        "POST /v1/sources was answered 422: forbidden_address options.token_url it leads to a private address"
    )


async def test_only_sources_that_are_not_paused_yet_are_paused(fake: FakeApi, api: DemoApi) -> None:
    states = ["active", "paused", "active", "active", "paused"]
    fake.sources = [{"id": f"src_{number}", "state": state} for number, state in enumerate(states)]

    await api.retire_sources()

    paused = [request.url.path for request in fake.requests if request.method == "POST"]
    assert paused == ["/v1/sources/src_0/pause", "/v1/sources/src_2/pause", "/v1/sources/src_3/pause"]


async def test_a_subscriber_hears_what_is_said_after_it_joined_and_each_event_once(
    stream: "redis.asyncio.Redis", subscriber: Subscriber
) -> None:
    heard: list[str] = []
    enough = asyncio.Event()

    def hear(event: HeardEvent) -> None:
        heard.append(event.id)
        if len(heard) == 3:
            enough.set()

    for number in (1, 2, 2, 3):
        await publish(stream, number)
    listening = asyncio.create_task(subscriber.listen(hear))
    await asyncio.wait_for(enough.wait(), 10)
    # At whatever moment the cancellation comes, it ends.
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)

    assert heard == ["evt_1", "evt_2", "evt_3"]


async def test_a_subscriber_leaves_no_group_behind(stream: "redis.asyncio.Redis", redis_url: str) -> None:
    async with Subscriber(connect(Secret(redis_url)), group="demo-test"):
        assert len(await stream.xinfo_groups("tokenkeep:events")) == 1

    assert await stream.xinfo_groups("tokenkeep:events") == []


async def test_revoking_never_leaves_fewer_than_two_accounts_and_the_show_goes_on(
    redeeming_api: DemoApi,
    provider: ProviderServer,
    browser: DemoBrowser,
    subscriber: Subscriber,
    stream: "redis.asyncio.Redis",
) -> None:
    lines: list[str] = []
    over = asyncio.Event()

    def on_line(_at: datetime, line: str) -> None:
        lines.append(line)
        if line == "the provider revoked dave's grant":
            over.set()

    async def until_over() -> None:
        await publish(stream, 1, source_id="src_of_an_earlier_run")
        await over.wait()

    show = Show(
        Plan(accounts=4, token_lifetime_s=30, revoke_every_s=0.01, for_s=None, plain=True),
        Board(on_line=on_line),
        provider=provider.provider,
        browser=browser,
        api=redeeming_api,
        subscriber=subscriber,
        source_id=SOURCE,
    )
    await show.play(until_over)

    assert lines == [
        *(f"{user} connected an account" for user in ("alice", "bob", "carol", "dave")),
        "the provider revoked alice's grant",
        "the provider revoked bob's grant",
        "erin connected an account",
        "the provider revoked carol's grant",
        "frank connected an account",
        "the provider revoked dave's grant",
    ]
    assert [grant.user for grant in provider.provider.grants() if not grant.is_revoked] == ["erin", "frank"]
    assert show.summary().startswith("6 accounts were connected, 0 refreshes granted, 4 grants revoked, 0 accounts")


async def test_a_show_whose_act_was_not_played_to_its_end_is_no_success(
    redeeming_api: DemoApi, provider: ProviderServer, browser: DemoBrowser, subscriber: Subscriber
) -> None:
    show = Show(
        Plan(accounts=1, token_lifetime_s=30, revoke_every_s=60, for_s=None, plain=True),
        Board(on_line=lambda _at, _line: None),
        provider=provider.provider,
        browser=browser,
        api=redeeming_api,
        subscriber=subscriber,
        source_id=SOURCE,
    )
    begun = asyncio.Event()

    async def act() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def leave() -> None:
        await begun.wait()

    with pytest.raises(DemoFailure, match="over before its end"):
        await show.play(leave, act=act)
