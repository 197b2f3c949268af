"""Whatever bytes come, in whatever pieces: an exchange ends in an Answer or a NoAnswer."""

import asyncio
import gzip
import math
import socket
import ssl
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.deadlines import MOMENT_S
from tokenkeep.adapters.token_endpoint.origin import Origin
from tokenkeep.adapters.token_endpoint.response import ResponseReader
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest

REQUEST = TokenRequest("http://127.0.0.1:1/token", {"x-a": "1"}, Secret("canary"))
BODY_LIMIT = 2_000


class FakeTransport(asyncio.Transport):
    """A transport over a silent socket: what arrives is handed to the protocol by the test."""

    def __init__(self, protocol: asyncio.Protocol, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.written = b""
        self._protocol = protocol
        self._closing = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.lose(None)

    def lose(self, fault: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, fault)


class BrokenTransport(FakeTransport):
    """Its socket takes not one byte, as after a reset that nobody has noticed yet."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.lose(BrokenPipeError(len(data)))


async def exchanged(
    pieces: list[bytes], *, ends: bool, fault: Exception | None = None
) -> tuple[Answer | NoAnswer, Connection, bytes]:
    """The outcome of an exchange whose answer comes in these pieces; then the peer closes, or stays silent."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        connection = Connection(Origin("http", "127.0.0.1", 1), max_body_bytes=BODY_LIMIT, now=lambda: 0.0)
        transport = FakeTransport(connection, near)
        deadline = loop.time() + (60 if ends else 0.002)
        task = asyncio.ensure_future(connection.exchange(REQUEST, deadline=deadline, send_before=1.0))
        await asyncio.sleep(0)
        for piece in pieces:
            if not transport.is_closing():
                connection.data_received(piece)
        if ends and not transport.is_closing():
            if fault is None:
                connection.eof_received()
            transport.lose(fault)
        outcome = await task
        connection.abort()
        await connection.wait_closed()
        return outcome, connection, transport.written


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


PLACES = st.lists(st.integers(min_value=0, max_value=100_000), max_size=8)
TOKENS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8).map(lambda text: f"x-{text}")
VALUES = st.text(alphabet="abc 123,;=", max_size=20).map(str.strip)
FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", b"content-length: 5\r\n", b"\r\n", b"hello",
        b"transfer-encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n", b"connection: close\r\n", b"\x00", b"\n",
        b"content-encoding: gzip\r\n", gzip.compress(b"hello"), gzip.compress(bytes(50_000)), b"x" * BODY_LIMIT,
        b"keep-alive: timeout=5\r\n", b"x: " + b"y" * 30_000 + b"\r\n", b"content-length: 99999999999999999999\r\n",
    ]
)  # fmt: skip
NOISE = st.binary(max_size=200) | st.lists(FRAGMENTS | st.binary(max_size=10), max_size=14).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(NOISE, PLACES, st.booleans())
def test_any_bytes_in_any_pieces_end_in_an_outcome(data: bytes, places: list[int], broken: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    fault = ConnectionResetError() if broken else None
    outcome, connection, written = asyncio.run(exchanged(cut(data, places), ends=True, fault=fault))
    assert written.endswith(b"\r\n\r\ncanary")
    assert "canary" not in repr((outcome, connection))
    match outcome:
        case Answer(status=status, body=body):
            assert 200 <= status <= 999
            assert len(body) <= BODY_LIMIT
        case NoAnswer(reason=reason, maybe_sent=maybe_sent):
            assert maybe_sent
            assert reason in {FailureReason.NETWORK_ERROR, FailureReason.MALFORMED_RESPONSE}


@settings(max_examples=25, deadline=None)
@given(NOISE, PLACES)
def test_any_bytes_and_then_silence_end_in_an_outcome(data: bytes, places: list[int]) -> None:
    outcome, _, written = asyncio.run(exchanged(cut(data, places), ends=False))
    assert isinstance(outcome, Answer) or outcome.maybe_sent is bool(written)


@settings(deadline=None)
@given(
    status=st.integers(min_value=200, max_value=599).filter(lambda status: status not in {204, 304}),
    headers=st.dictionaries(TOKENS, VALUES, max_size=5),
    body=st.binary(max_size=BODY_LIMIT),
    framing=st.sampled_from(["length", "chunked", "end"]),
    zipped=st.booleans(),
    places=PLACES,
)
def test_a_sound_answer_reads_the_same_however_it_is_cut(
    *,
    status: int,
    headers: dict[str, str],
    body: bytes,
    framing: str,
    zipped: bool,
    places: list[int],
) -> None:
    sent = gzip.compress(body[:1_000]) if zipped else body
    lines = [f"{name.title()}: {value}" for name, value in headers.items()]
    lines += ["content-encoding: gzip"] * zipped
    if framing == "length":
        lines.append(f"Content-Length: {len(sent)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        sent = b"".join(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in cut(sent, places)) + b"0\r\n\r\n"
    head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    reader = ResponseReader(max_body_bytes=BODY_LIMIT)
    outcomes = [reader.feed(piece) for piece in cut(head.encode() + sent, places)]
    outcome = outcomes[-1] or reader.end(clean=True)
    assert not any(outcomes[:-1])
    assert isinstance(outcome, Answer)
    assert (outcome.status, outcome.body) == (status, body[:1_000] if zipped else body)
    assert headers.items() <= outcome.headers.items()
    assert reader.reusable is (framing != "end")


async def test_what_arrives_in_the_last_moment_is_still_read() -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        connection = Connection(Origin("http", "127.0.0.1", 1), now=lambda: 0.0)
        FakeTransport(connection, near)
        moment = math.ceil(loop.time() / MOMENT_S) + 3
        deadline = (moment - 0.5) * MOMENT_S
        task = asyncio.ensure_future(connection.exchange(REQUEST, deadline=deadline, send_before=1.0))
        await asyncio.sleep(0)
        loop.call_at(moment * MOMENT_S, connection.data_received, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        outcome = await task
        assert outcome == Answer(200, {"content-length": "0"}, b"")
        connection.abort()


async def test_a_socket_that_takes_no_byte_at_all_has_sent_nothing() -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        connection = Connection(Origin("http", "127.0.0.1", 1), now=lambda: 0.0)
        BrokenTransport(connection, near)
        outcome = await connection.exchange(REQUEST, deadline=loop.time() + 5, send_before=1.0)
        assert isinstance(outcome, NoAnswer)
        assert (outcome.reason, outcome.maybe_sent) == (FailureReason.NETWORK_ERROR, False)
        await connection.wait_closed()


def alert(name: str) -> ssl.SSLError:
    fault = ssl.SSLError(1, "an alert")
    fault.reason = name
    return fault


@pytest.mark.parametrize(
    ("pieces", "fault", "sent"),
    [
        ([], alert("TLSV1_ALERT_UNKNOWN_CA"), False),
        ([], alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), False),
        ([], alert("TLSV1_ALERT_INTERNAL_ERROR"), True),
        ([], ConnectionResetError(), True),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], alert("TLSV1_ALERT_UNKNOWN_CA"), True),
    ],
)
async def test_only_a_refusal_of_the_handshake_shows_that_nothing_was_read(
    pieces: list[bytes], fault: Exception, *, sent: bool
) -> None:
    outcome, _, written = await exchanged(pieces, ends=True, fault=fault)
    assert isinstance(outcome, NoAnswer)
    assert (outcome.reason, outcome.maybe_sent) == (FailureReason.NETWORK_ERROR, sent)
    assert written


async def test_a_refusal_after_an_exchange_is_none_of_the_handshake() -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        connection = Connection(Origin("http", "127.0.0.1", 1), now=lambda: 0.0)
        transport = FakeTransport(connection, near)
        first = asyncio.ensure_future(connection.exchange(REQUEST, deadline=loop.time() + 5, send_before=1.0))
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert isinstance(await first, Answer)
        second = asyncio.ensure_future(connection.exchange(REQUEST, deadline=loop.time() + 5, send_before=1.0))
        await asyncio.sleep(0)
        transport.lose(alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"))
        outcome = await second
        assert isinstance(outcome, NoAnswer)
        assert outcome.maybe_sent


@pytest.mark.parametrize(("late_by", "sent"), [(0.0, True), (0.001, False)])
async def test_the_mark_is_good_until_its_moment_and_no_longer(*, late_by: float, sent: bool) -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far:
        connection = Connection(Origin("http", "127.0.0.1", 1), now=lambda: 10.0 + late_by)
        transport = FakeTransport(connection, near)
        outcome = await connection.exchange(REQUEST, deadline=loop.time() + 0.1, send_before=10.0)
        assert isinstance(outcome, NoAnswer)
        reason = FailureReason.TIMEOUT if sent else FailureReason.INTERNAL_ERROR
        assert (outcome.reason, outcome.maybe_sent) == (reason, sent)
        assert bool(transport.written) is sent
        connection.abort()
