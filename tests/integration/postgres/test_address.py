"""Addresses with libpq's parameters, over real connections: what they ask for is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from certificates import LOOPBACK, Authority, make_authority
from tls_front import tls_front
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.domain.secret import Secret


def socket_of(postgres_url: str) -> str:
    return parse_qs(urlsplit(postgres_url).query)["host"][0] + "/.s.PGSQL.5432"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
async def address(postgres_url: str, authority: Authority) -> AsyncIterator[str]:
    """The server behind TLS; parameters are put behind it."""
    async with tls_front(socket_of(postgres_url), authority.server(*LOOPBACK)) as port:
        yield f"postgresql://tokenkeep@127.0.0.1:{port}/tokenkeep"


async def asked(url: str, statement: str) -> object:
    database = Database(create_engine(Secret(url), process="tokenkeep trial"))
    try:
        async with database.reading() as connection:
            return (await connection.execute(text(statement))).scalar_one()
    finally:
        await database.close()


@pytest.mark.parametrize("parameters", ["sslmode=require", "sslmode=verify-full&sslrootcert={roots}"])
async def test_every_way_to_the_database_takes_tls(address: str, authority: Authority, parameters: str) -> None:
    url = f"{address}?{parameters.format(roots=authority.trust_store())}"

    assert await asyncio.to_thread(migrate, Secret(url)) == head_revision()
    assert await asked(url, "SELECT current_setting('application_name')") == "tokenkeep trial"
    heard = asyncio.Event()
    listener = Listener(Secret(url), "trial", heard.set)
    listener.start()
    await asyncio.wait_for(heard.wait(), 10)  # it has connected
    await listener.stop()


async def test_a_server_whose_certificate_nobody_trusts_is_not_spoken_to(address: str, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    others = make_authority(tmp_path / "others")

    with pytest.raises(OSError, match="certificate verify failed"):
        await asked(f"{address}?sslmode=verify-ca&sslrootcert={others.trust_store()}", "SELECT 1")


async def test_a_client_can_prove_itself_by_a_certificate(postgres_url: str, authority: Authority) -> None:
    both = authority.directory / "client.pem"
    both.write_text(authority.client("tokenkeep"))
    async with tls_front(socket_of(postgres_url), authority.mutual()) as port:
        url = f"postgresql://tokenkeep@127.0.0.1:{port}/tokenkeep?sslmode=require"

        assert await asked(f"{url}&sslcert={both}&sslkey={both}", "SELECT 1") == 1
        with pytest.raises((OSError, DBAPIError)):
            await asked(url, "SELECT 1")


async def test_names_and_options_reach_the_server(postgres_url: str) -> None:
    url = f"{postgres_url}&application_name=billing&options=-c%20statement_timeout%3D12345"

    assert await asked(url, "SELECT current_setting('application_name')") == "billing"
    assert await asked(url, "SELECT current_setting('statement_timeout')") == "12345ms"
    assert await asked(url, "SELECT current_setting('lock_timeout')") == "2s"


async def test_a_server_that_keeps_silent_is_given_up_in_time() -> None:
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await asked(f"postgresql://u@127.0.0.1:{port}/n?connect_timeout=1", "SELECT 1")
        async with asyncio.timeout(20):
            await left.wait()
