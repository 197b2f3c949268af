"""The keys of issuers: had when they are wanted, kept, and not asked for at a stranger's pace."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from issuer_server import IssuerServer, a_key
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.application.first_answers import AskOnce
from tokenkeep.application.security_event_keys import SecurityEventKeys
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.errors import ProviderUnavailable

ISSUER = "https://issuer.example/"
FIRST, SECOND = a_key("first"), a_key("second")


class SetClocks(ProcessClocks):
    """The process's clocks, set ahead."""

    def __init__(self) -> None:
        super().__init__(boottime)
        self.ahead_s = 0.0

    def loop_time(self) -> float:
        return super().loop_time() + self.ahead_s


@pytest.fixture
async def server() -> AsyncIterator[IssuerServer]:
    async with IssuerServer(ISSUER, [FIRST]) as started:
        yield started


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
async def keys(clocks: SetClocks) -> AsyncIterator[SecurityEventKeys]:
    pool = ConnectionPool(AddressPolicy(("127.0.0.1/32",)))
    # The deadline of a look is by the real clock, whatever the hour is here.
    yield SecurityEventKeys(AskOnce(LentConnections(pool), ProcessClocks(boottime), timedelta(seconds=5)), clocks)
    await pool.close()


async def test_keys_are_had_once_and_kept_for_an_hour(
    server: IssuerServer, keys: SecurityEventKeys, clocks: SetClocks
) -> None:
    for _ in range(3):
        found = await keys(server.configuration_url, "first")
        assert found is not None
        assert found.issuer == ISSUER
    assert server.looks == ["/risc-configuration", "/certs"]
    clocks.ahead_s += 3_601
    assert await keys(server.configuration_url, "first") is not None
    assert len(server.looks) == 4


async def test_a_key_that_is_not_there_has_the_issuer_asked_once_a_minute_at_most(
    server: IssuerServer, keys: SecurityEventKeys, clocks: SetClocks
) -> None:
    for number in range(20):
        assert await keys(server.configuration_url, f"made-up-{number}") is None
    assert len(server.looks) == 2
    server.keys.append(SECOND)
    assert await keys(server.configuration_url, "second") is None
    clocks.ahead_s += 61
    assert await keys(server.configuration_url, "second") is not None


async def test_what_is_kept_is_used_on_while_the_issuer_is_away(
    server: IssuerServer, keys: SecurityEventKeys, clocks: SetClocks
) -> None:
    assert await keys(server.configuration_url, "first") is not None
    server.away = True
    clocks.ahead_s += 3_601
    assert await keys(server.configuration_url, "first") is not None
    with pytest.raises(ProviderUnavailable):
        await keys(server.configuration_url, "second")


async def test_an_issuer_that_was_never_had_is_told_as_such_and_asked_again_soon(
    server: IssuerServer, keys: SecurityEventKeys, clocks: SetClocks
) -> None:
    server.away = True
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await keys(server.configuration_url, "first")
    assert len(server.looks) == 1
    server.away = False
    clocks.ahead_s += 6
    assert await keys(server.configuration_url, "first") is not None
