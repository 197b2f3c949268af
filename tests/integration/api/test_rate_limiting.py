"""Too many requests, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api_service import Service, data, open_service, problem

BURST = 5


@pytest.fixture
async def limited(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    """An API whose keys have five requests, and one more in a thousand seconds or so."""
    async with open_service(api_database_url, redis_url, rate_limit_per_s=1, rate_limit_burst=BURST) as opened:
        yield opened


async def until_refused(client: httpx.AsyncClient, path: str, *, at_most: int) -> httpx.Response:
    for _ in range(at_most):
        answer = await client.get(path)
        if answer.status_code == 429:
            return answer
    raise AssertionError("nothing was refused")


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(limited: Service) -> None:
    key, other = await limited.key("sources:read"), await limited.key("sources:read")
    async with limited.client(key) as client, limited.client(other) as neighbour:
        first = await client.get("/v1/sources")
        assert first.headers["ratelimit-policy"] == f'"key";q={BURST};w={BURST}'
        assert first.headers["ratelimit"] == f'"key";r={BURST - 1};t=1'
        refused = await until_refused(client, "/v1/sources", at_most=50)
        told = problem(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) == told["retry_after"] >= 1
        assert refused.headers["ratelimit"].startswith('"key";r=0;t=')
        assert refused.headers["cache-control"] == "no-store"
        data(await neighbour.get("/v1/sources"))
        for path in ("/healthz", "/readyz", "/metrics"):
            for _ in range(BURST * 30):
                assert (await client.get(path)).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert 'tokenkeep_requests_refused_total{reason="key_rate"} 1.0' in metrics
    assert "ratelimit" not in (await client_get_once(limited, "/healthz")).headers


async def client_get_once(service: Service, path: str) -> httpx.Response:
    async with service.client(None) as nobody:
        return await nobody.get(path)


async def test_guessing_is_slow_and_does_not_hurt_the_keys_in_use(
    limited: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = limited.wired.limits._clock()
    monkeypatch.setattr(limited.wired.limits, "_clock", lambda: now)
    key, fresh = await limited.key("sources:read"), await limited.key("sources:read")
    async with limited.client(key) as owner, limited.client(None) as guesser:
        data(await owner.get("/v1/sources"))
        for number in range(1_000):
            answer = await guesser.get("/v1/sources", headers={"Authorization": f"Bearer tk_guess-{number}"})
            if answer.status_code == 429:
                break
            problem(answer, 401, "not_authenticated")
        assert answer.headers["ratelimit-policy"].startswith('"address";')
        # Not even a right guess is told apart now.
        problem(await guesser.get("/v1/sources", headers={"Authorization": f"Bearer {fresh}"}), 429, "rate_limited")
        data(await owner.get("/v1/sources"))


@pytest.mark.parametrize("path", ["/v1/sources", "/docs", "/nothing"])
async def test_who_shows_no_key_is_limited_by_address(limited: Service, path: str) -> None:
    async with limited.client(None) as nobody:
        problem(await until_refused(nobody, path, at_most=1_000), 429, "rate_limited")


async def test_nobody_is_limited_where_that_is_set(api_database_url: str, redis_url: str) -> None:
    async with (
        open_service(api_database_url, redis_url, rate_limit_per_s=0, rate_limit_burst=1) as service,
        service.client() as admin,
        service.client(None) as nobody,
    ):
        for _ in range(150):
            assert "ratelimit" not in (await nobody.get("/v1/sources")).headers
        for _ in range(5):
            data(await admin.get("/v1/sources"))
