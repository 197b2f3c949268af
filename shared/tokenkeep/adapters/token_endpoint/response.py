"""One HTTP/1.1 response, read from bytes in whatever pieces they come.

Everything is bounded, and every end is told apart: a complete answer, one that was cut short, and what is not HTTP.
llhttp (through httptools) parses strictly; what it lacks is done here: the end of input, bounds and content encodings.
"""

import re
import zlib

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tokenkeep.domain.account import FailureReason
from tokenkeep.providers.answer import Answer, NoAnswer

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024

# A body in chunks of one byte takes six bytes for each; whoever needs more than this is not answering us.
_MAX_FRAMING = 8
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_LOWEST_STATUS = 100
_KEEP_ALIVE_TIMEOUT = re.compile(r"\btimeout\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


class _Undecodable(Exception):
    """The content encoding is unknown, does not hold, or hides more than the bound."""


class ResponseReader:
    """Reads one response. Feed it until it returns an outcome; afterwards it only watches for stray bytes.

    `reusable` says, once there is an Answer, whether another request may follow on the connection; `idle_limit_s` is
    how long the server will wait for it, where it said so (`keep-alive: timeout=5`).
    """

    __slots__ = (
        "_body", "_body_size", "_complete", "_fault", "_head_done", "_head_size", "_headers", "_max_body", "_parser",
        "_received", "_status", "idle_limit_s", "reusable",
    )  # fmt: skip

    def __init__(self, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_body = max_body_bytes
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0
        self._received = 0
        self._status = 0
        self._head_done = False
        self._complete = False
        self._fault: str | None = None
        self.reusable = False
        self.idle_limit_s: float | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    @property
    def received(self) -> int:
        """How many bytes have been fed."""
        return self._received

    def feed(self, data: bytes) -> Answer | NoAnswer | None:
        """The outcome, if these bytes bring it about."""
        if self._parser is None:
            self.reusable = False
            return None
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as fault:
            self.reusable = False
            if not self._complete and self._fault is None:
                self._fault = "not HTTP" if isinstance(fault, HttpParserError) else "an upgrade nobody asked for"
        if self._fault is None and not self._complete:
            self._check_bounds()
        if self._fault is not None:
            return self._malformed(self._fault)
        return self._answer() if self._complete else None

    def end(self, *, clean: bool) -> Answer | NoAnswer:
        """The outcome when no more bytes will come.

        Args:
            clean: The peer closed in order; over TLS that takes its close_notify, without which a body that only the
                closing delimits may have been cut (RFC 9112, section 9.8).
        """
        if self._received == 0:
            self._parser = None
            return NoAnswer(FailureReason.NETWORK_ERROR, maybe_sent=True, detail="closed without an answer")
        delimited = "content-length" in self._headers or "transfer-encoding" in self._headers
        if not self._head_done or delimited or not clean:
            return self._malformed("the answer was cut short")
        return self._answer()

    def _check_bounds(self) -> None:
        if self._head_size > MAX_HEAD_BYTES or (not self._head_done and self._received > MAX_HEAD_BYTES):
            self._fault = f"a header block over {MAX_HEAD_BYTES} bytes"
        elif self._received > MAX_HEAD_BYTES + _MAX_FRAMING * self._max_body:
            self._fault = "more framing than content"

    def _malformed(self, detail: str) -> NoAnswer:
        self._parser = None
        self._body.clear()
        return NoAnswer(FailureReason.MALFORMED_RESPONSE, maybe_sent=True, detail=detail)

    def _answer(self) -> Answer | NoAnswer:
        # The parser holds this object's methods; letting it go here spares the cycle collector the work.
        self._parser = None
        try:
            body = decoded(b"".join(self._body), self._headers.get("content-encoding", ""), limit=self._max_body)
        except _Undecodable as fault:
            return self._malformed(str(fault))
        self._body.clear()
        found = _KEEP_ALIVE_TIMEOUT.search(self._headers.get("keep-alive", ""))
        self.idle_limit_s = float(found[1]) if found else None
        return Answer(self._status, self._headers, body)

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        """A further message on the wire: the next of several informational ones, or one that nobody asked for."""
        if self._complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or, after the body, one trailer: those are counted and left out (RFC 9110, section 6.5.1)."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD_BYTES or self._complete or self._head_done:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        held = self._headers.get(key)
        self._headers[key] = text if held is None else f"{held}, {text}"

    def on_headers_complete(self) -> None:
        """The head is whole: the status and the framing can be judged."""
        if self._complete or self._parser is None:
            return
        self._status = self._parser.get_status_code()
        if self._status == _SWITCHING_PROTOCOLS or self._status < _LOWEST_STATUS:
            self._fault = "a status that is no answer"
        if self._headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._fault = "a transfer encoding nobody asked for"
        self._head_done = self._status >= _FIRST_FINAL_STATUS

    def on_body(self, data: bytes) -> None:
        """A piece of the body, freed of its chunks."""
        if self._complete or self._fault is not None:
            return
        self._body_size += len(data)
        if self._body_size > self._max_body:
            self._fault = f"a body over {self._max_body} bytes"
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The message is whole. An informational one (1xx) only announces the answer."""
        if self._complete or self._parser is None:
            return
        if not self._head_done:
            self._headers = {}
            return
        self._complete = True
        self.reusable = self._parser.should_keep_alive()


def decoded(body: bytes, encoding: str, *, limit: int) -> bytes:
    """A body without its content encoding, never more than `limit` bytes.

    We ask for `identity`; some servers compress all the same. `deflate` means zlib's format, yet some send it bare.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip" if body:
            return _inflated(body, zlib.MAX_WBITS | 16, limit)
        case "deflate" if body:
            zlib_header = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
            return _inflated(body, zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS, limit)
        case _ if not body:
            return body
        case _:
            msg = "a content encoding nobody asked for"
            raise _Undecodable(msg)


def _inflated(body: bytes, window_bits: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window_bits)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        msg = "a compressed body that does not unpack"
        raise _Undecodable(msg) from None
    if len(plain) > limit:
        msg = f"a body over {limit} bytes when unpacked"
        raise _Undecodable(msg)
    if not inflater.eof or inflater.unused_data:
        msg = "a compressed body that does not end where it should"
        raise _Undecodable(msg)
    return plain
