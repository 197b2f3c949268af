"""Request bodies: JSON, bounded in size and in time, read strictly."""

import asyncio
import json
import math
import re
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep_api.api_paths import is_provider_hook
from tokenkeep_api.problems import Problem

MAX_BODY_BYTES = 1024 * 1024
BODY_DEADLINE_S = 15.0
PIECE_BYTES = 16 * 1024
PIECE_DEADLINE_S = 60.0
IMPORT_PATH = "/v1/accounts/import"
NDJSON = "application/x-ndjson"
EVENTS_PATH = "/v1/events"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
SECURITY_EVENT = "application/secevent+jwt"

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_ANNOUNCING = frozenset({b"content-length", b"transfer-encoding"})
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"content-type"})
# What is left of a refused body is not read, so the connection can't be used again.
_CLOSE = {"Connection": "close"}
_MOST_DIGITS = 300
# Below this a whole number is in the range of a double, and orjson takes it.
_LONG_NUMBER = re.compile(rb"-?[0-9]{%d,}" % _MOST_DIGITS)
_BEYOND_ALL_BOUNDS: int = 10**_MOST_DIGITS


class BoundedBodies:
    """ASGI middleware: no body over 1 MiB, none that takes longer than 15 s to arrive, none that is not JSON.

    Under `/connect` and `/console`, where browsers come, a body is a form. Events may be declared to be CloudEvents, and providers send security
    event tokens.

    An import's body is a stream: NDJSON of any size, of which each 16 KiB have 60 s to come, so that nobody holds one of the few
    places by a byte now and then; its lines are bounded where they are read. Only the time counts in which something is
    waited for.

    Nothing is buffered here. A body's bound is checked while the route reads it, whatever its `Content-Length` says.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        deadline_s: float = BODY_DEADLINE_S,
        piece_deadline_s: float = PIECE_DEADLINE_S,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._piece_deadline_s = piece_deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _BODY_HEADERS}
        streamed = scope["path"] == IMPORT_PATH
        problem = self._refusal(headers, _media_types(scope["path"]), bounded=not streamed)
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        if has_body:
            receive = self._in_pieces(receive) if streamed else self._bounded(receive)
        await self._app(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes], wanted: tuple[str, ...], *, bounded: bool) -> Problem | None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or (bounded and int(length) > self._max_bytes):
            return self._too_large()
        has_body = b"transfer-encoding" in headers or length != b"0"
        media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if has_body and media_type not in wanted:
            detail = f"a body here is of another kind: Content-Type: {' or '.join(wanted)}"
            return Problem(415, "unsupported_media_type", detail, headers={**_CLOSE, "Accept": ", ".join(wanted)})
        return None

    def _in_pieces(self, receive: Receive) -> Receive:
        whole = False
        came, left_s = 0, self._piece_deadline_s
        now = asyncio.get_running_loop().time

        async def in_pieces() -> Message:
            nonlocal whole, came, left_s
            if whole:
                return await receive()  # waits for the client to go away, which takes as long as it takes
            began = now()
            try:
                async with asyncio.timeout(left_s):
                    message = await receive()
            except TimeoutError:
                detail = f"less than {PIECE_BYTES} bytes of the body arrived within {self._piece_deadline_s:g} s"
                raise Problem(408, "request_timeout", detail, headers=_CLOSE) from None
            left_s -= now() - began
            came += len(message.get("body", b""))
            if came >= PIECE_BYTES:
                came, left_s = 0, self._piece_deadline_s
            whole = not message.get("more_body", False)
            return message

        return in_pieces

    def _bounded(self, receive: Receive) -> Receive:
        received = 0
        whole = False
        until: float | None = None

        async def bounded() -> Message:
            nonlocal received, whole, until
            if whole:
                return await receive()  # waits for the client to go away, which takes as long as it takes
            until = asyncio.get_running_loop().time() + self._deadline_s if until is None else until
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                detail = f"the body did not arrive within {self._deadline_s:g} s"
                raise Problem(408, "request_timeout", detail, headers=_CLOSE) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._max_bytes:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> Problem:
        return Problem(413, "body_too_large", f"a body has at most {self._max_bytes} bytes", headers=_CLOSE)


def _media_types(path: str) -> tuple[str, ...]:
    if path.startswith(("/connect/", "/console/")):
        return (_FORM,)
    if path == IMPORT_PATH:
        return (NDJSON,)
    if is_provider_hook(path):
        return (_JSON, SECURITY_EVENT)
    return (_JSON, CLOUDEVENT, CLOUDEVENTS) if path == EVENTS_PATH else (_JSON,)


def parse_json(body: bytes) -> Any:
    """What the body says.

    Two readers must agree on a body, so what they could read differently is refused: a member that comes twice
    (RFC 8259, section 4), NaN, a half of a surrogate pair, and the NUL character, which PostgreSQL can't store.

    Raises:
        Problem: It is not JSON, or not JSON as we take it. Nothing of it is quoted.
    """
    try:
        # Strict about UTF-8, surrogates, numbers and depth, none of which the standard library's reader minds. It refuses the
        # whole body for a number without end; whose field that is, only the model can say.
        orjson.loads(_LONG_NUMBER.sub(b"0", body))
        document = json.loads(body, object_pairs_hook=_object, parse_int=_whole, parse_float=_broken)
    except (ValueError, RecursionError):
        raise _malformed("the body is not valid JSON") from None
    if b"\\u0000" in body and _holds_nul(document):
        raise _malformed("a text can't hold the character U+0000")
    return document


async def read_json(request: Request) -> Any:
    """The request's body as JSON; None when there is none."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise _malformed("the body was cut short") from None
    return parse_json(body) if body else None


async def read_document(scope: Scope, receive: Receive) -> Any:
    """`read_json` for an application of plain ASGI: no message is waited for where the head announces no body."""
    for name, _ in scope["headers"]:
        if name in _ANNOUNCING:
            break
    else:
        return None
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _malformed("the body was cut short")
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(pieces)
            return parse_json(body) if body else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _malformed("an object of the body names a member twice")
    return members


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        return -_BEYOND_ALL_BOUNDS if digits.startswith("-") else _BEYOND_ALL_BOUNDS
    return int(digits)


def _broken(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        msg = "beyond the range of a double"
        raise ValueError(msg)
    return number


def _holds_nul(document: Any) -> bool:
    waiting = [document]
    while waiting:
        match waiting.pop():
            case str() as text if "\0" in text:
                return True
            case dict() as members:
                waiting += members.keys()
                waiting += members.values()
            case list() as items:
                waiting += items
            case _:
                continue
    return False


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed_json", detail)
