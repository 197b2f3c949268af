"""Refreshes by clients that prove themselves in the TLS handshake, through a worker as it is wired."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from certificates import Authority, make_authority
from road import Road, open_road
from token_server import TokenServer
from tokenkeep.adapters.token_endpoint.tls_contexts import trusting_the_system
from tokenkeep.domain.ids import SourceId


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
async def road(
    authority: Authority, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Road]:
    """A worker on a host whose trust store knows the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trust_store()))
    trusting_the_system.cache_clear()
    async with open_road(database_url, redis_url) as opened:
        await opened.foundation.redis.flushall()
        yield opened
    trusting_the_system.cache_clear()


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[TokenServer]:
    async with TokenServer(tls=authority.mutual()) as started:
        yield started


async def source_of(road: Road, server: TokenServer, certificate: str) -> SourceId:
    return await road.source_of_client(
        certificate, token_url=server.url, token_endpoint_auth_method="tls_client_auth", refresh_rotates="no"
    )


async def test_sources_at_one_endpoint_each_refresh_under_their_own_certificate(
    road: Road, server: TokenServer, authority: Authority
) -> None:
    anna = await road.account(await source_of(road, server, authority.client("anna")), "a")
    bert = await road.account(await source_of(road, server, authority.client("bert")), "b")
    for account_id in (anna, bert, anna, bert):
        await road.make_due(account_id)
        await road.refresh(account_id)
    assert server.clients == ["anna", "bert", "anna", "bert"]
    assert server.presented == ["a.1", "b.1", "a.2", "b.2"]
    assert server.posts[0].form == {"grant_type": "refresh_token", "refresh_token": "a.1", "client_id": "client"}


async def test_a_certificate_that_is_refused_leaves_no_doubt(
    road: Road, server: TokenServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_authority(tmp_path_factory.mktemp("strange")).client("stranger")
    account_id = await road.account(await source_of(road, server, stranger))
    await road.refresh(account_id)
    assert server.posts == []
    view = await road.view(account_id)
    assert view.in_doubt is None
    [attempt] = await road.sql("SELECT outcome, reason FROM refresh_attempts WHERE account_id = :id", id=account_id)
    assert (attempt["outcome"], attempt["reason"]) == ("not_sent", "network_error")
