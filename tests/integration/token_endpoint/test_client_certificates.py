"""Clients that prove themselves in the TLS handshake (RFC 8705)."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from certificates import Authority, make_authority
from raw_http import Peer, RawServer, Script, answering, http
from source_clients import rsa_key
from tokenkeep.adapters.token_endpoint import AddressPolicy, ConnectFailed, ConnectionPool, boottime
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.client_authentication import ClientKey

OK = http(b"{}")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> ClientKey:
    """A client whose certificate is of an authority that no server here knows."""
    return client_key(make_authority(tmp_path_factory.mktemp("strange")).client("stranger"))


def client_key(text: str) -> ClientKey:
    return ClientKey.of(Secret(text))


def naming(seen: list[str | None]) -> Script:
    """Answers, and notes whose certificate each connection came with."""

    async def script(peer: Peer) -> None:
        seen.append(peer.client)
        await answering(*[OK] * 9)(peer)

    return script


async def connected(pool: ConnectionPool, url: str, key: ClientKey | None) -> Connection:
    return await pool.acquire(url, key, reuse_window_s=60, deadline=asyncio.get_running_loop().time() + 5)


async def exchanged(connection: Connection, url: str, key: ClientKey | None) -> Answer | NoAnswer:
    request = TokenRequest(url, {}, Secret("refresh_token=canary"), client_key=key)
    deadline = asyncio.get_running_loop().time() + 5
    return await connection.exchange(request, deadline=deadline, send_before=boottime() + 5)


async def asked(pool: ConnectionPool, url: str, key: ClientKey | None) -> Connection:
    """The connection that a request went over. It is back in the pool."""
    connection = await connected(pool, url, key)
    assert isinstance(await exchanged(connection, url, key), Answer)
    pool.release(connection)
    return connection


async def test_each_client_shows_its_certificate_and_no_connection_is_anybody_elses(
    authority: Authority, pool: ConnectionPool
) -> None:
    seen: list[str | None] = []
    anna, bert = client_key(authority.client("anna")), client_key(authority.client("bert", rsa_key()))
    async with RawServer(naming(seen), tls=authority.mutual()) as server:
        of_anna = await asked(pool, server.url(), anna)
        of_bert = await asked(pool, server.url(), bert)
        assert await asked(pool, server.url(), anna) is of_anna
        assert await asked(pool, server.url(), client_key(bert.text.reveal())) is of_bert
        assert seen == ["anna", "bert"]


async def test_a_connection_without_a_certificate_is_none_for_a_client_that_has_one(
    authority: Authority, pool: ConnectionPool
) -> None:
    seen: list[str | None] = []
    welcoming = authority.mutual()
    welcoming.verify_mode = ssl.CERT_OPTIONAL
    anna = client_key(authority.client("anna"))
    async with RawServer(naming(seen), tls=welcoming) as server:
        nameless = await asked(pool, server.url(), None)
        of_anna = await asked(pool, server.url(), anna)
        assert seen == [None, "anna"]
        for connection, key in ((nameless, anna), (of_anna, None)):
            outcome = await exchanged(connection, server.url(), key)
            assert isinstance(outcome, NoAnswer)
            assert (outcome.reason, outcome.maybe_sent) == (FailureReason.INTERNAL_ERROR, False)
        assert len(server.requests) == 2


async def test_the_server_is_verified_by_clients_with_certificates_too(authority: Authority) -> None:
    anna = client_key(authority.client("anna"))
    pool = ConnectionPool(AddressPolicy(["127.0.0.1"]))
    async with RawServer(answering(OK), tls=authority.mutual()) as server:
        with pytest.raises(ConnectFailed, match="certificate not trusted"):
            await connected(pool, server.url(), anna)
    await pool.close()


@pytest.mark.parametrize("text", ["canary", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n"])
async def test_with_a_key_that_does_not_serve_nothing_is_connected(
    authority: Authority, pool: ConnectionPool, text: str
) -> None:
    async with RawServer(answering(OK), tls=authority.mutual()) as server:
        with pytest.raises(ConnectFailed) as failed:
            await connected(pool, server.url(), client_key(text))
        assert failed.value.reason is FailureReason.INTERNAL_ERROR
        assert "canary" not in failed.value.detail
        assert server.connections == 0


async def test_a_certificate_is_never_left_out_for_want_of_tls(authority: Authority, pool: ConnectionPool) -> None:
    async with RawServer(answering(OK)) as server:
        with pytest.raises(ConnectFailed) as failed:
            await connected(pool, server.url(), client_key(authority.client("anna")))
        assert failed.value.reason is FailureReason.INTERNAL_ERROR
        assert server.connections == 0


async def test_before_tls_1_3_a_certificate_that_is_refused_fails_the_connection(
    authority: Authority, pool: ConnectionPool, stranger: ClientKey
) -> None:
    async with RawServer(answering(OK), tls=authority.mutual(ssl.TLSVersion.TLSv1_2)) as server:
        for key in (stranger, None):
            with pytest.raises(ConnectFailed) as failed:
                await connected(pool, server.url(), key)
            assert failed.value.reason is FailureReason.NETWORK_ERROR
        assert server.requests == []


def refusing_late(context: ssl.SSLContext, may_look: asyncio.Event) -> Script:
    """A TLS 1.3 server far away: the client has finished its handshake and written long before the server looks at it."""

    async def script(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await peer.piece())
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        await peer.say(outgoing.read())
        await may_look.wait()
        incoming.write(await peer.piece())
        with pytest.raises(ssl.SSLError, match="certificate"):
            tls.do_handshake()
        await peer.say(outgoing.read())
        await peer.gone()

    return script


@pytest.mark.parametrize("with_certificate", [True, False])
async def test_a_refusal_that_comes_after_the_request_was_written_shows_that_it_was_not_read(
    authority: Authority, pool: ConnectionPool, stranger: ClientKey, *, with_certificate: bool
) -> None:
    key = stranger if with_certificate else None
    is_sent = asyncio.Event()
    async with RawServer(refusing_late(authority.mutual(), is_sent)) as server:
        url = server.url().replace("http:", "https:")
        connection = await connected(pool, url, key)
        connection.on_sent = is_sent.set
        outcome = await exchanged(connection, url, key)
        pool.release(connection)
        assert is_sent.is_set()
        assert isinstance(outcome, NoAnswer)
        assert (outcome.reason, outcome.maybe_sent) == (FailureReason.NETWORK_ERROR, False)


def test_every_context_verifies_certificate_and_name_and_speaks_nothing_old(authority: Authority) -> None:
    contexts = TlsContexts()
    for context in (contexts.without_certificate, contexts.with_certificate(client_key(authority.client("anna")))):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_no_more_contexts_are_kept_than_wanted(authority: Authority) -> None:
    contexts = TlsContexts(authority.trusting, cached=1)
    anna, bert = client_key(authority.client("anna")), client_key(authority.client("bert"))
    first = contexts.with_certificate(anna)
    assert contexts.with_certificate(anna) is first
    contexts.with_certificate(bert)
    assert contexts.with_certificate(anna) is not first
    assert contexts.with_certificate.cache_info().currsize == 1


class Curious(ssl.SSLContext):
    """Notes what stands in the file that it is given, and who may read it."""

    path: Path
    content: str
    mode: int

    def load_cert_chain(
        self,
        certfile: object,
        keyfile: object = None,
        password: Callable[[], str | bytes | bytearray] | str | bytes | bytearray | None = None,
    ) -> None:
        assert keyfile is None
        self.path = Path(str(certfile))
        self.content, self.mode = self.path.read_text(), self.path.stat().st_mode & 0o777
        super().load_cert_chain(self.path, password=password)


def test_no_key_is_ever_in_a_file_that_could_be_read(authority: Authority) -> None:
    seen = Curious(ssl.PROTOCOL_TLS_CLIENT)
    TlsContexts(lambda: seen).with_certificate(client_key(authority.client("anna")))
    assert "BEGIN ENCRYPTED PRIVATE KEY" in seen.content
    assert "BEGIN PRIVATE KEY" not in seen.content
    assert seen.mode == 0o600
    assert not seen.path.exists()
