"""Calls of the API, by httpx, and what its answers mean."""

import asyncio
import json
import os
import platform
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

import tokenkeep
from tokenkeep.client.effects import Call, Effect
from tokenkeep.client.errors import DeadlineExceeded, NotConfigured, Unreachable
from tokenkeep.client.lifeline import Lifeline
from tokenkeep.client.problem_answers import fault
from tokenkeep.domain.secret import Secret

_CONNECT_S = 5.0
_MOST_BYTES = 16 * 1024 * 1024
_AGENT = f"tokenkeep-python/{tokenkeep.__version__} python/{platform.python_version()} httpx/{httpx.__version__}"
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""After these nothing has left."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer as it came. `body` may hold a secret."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Its JSON. Raises `Unreachable` if it is no JSON object: something that is not the API answered."""
        document = parsed(self.body)
        if not isinstance(document, dict):
            raise Unreachable(f"the answer {self.status} is no JSON object")
        return document


class Address:
    """Where the API is, and by which key it is asked."""

    def __init__(self, base_url: str | None, api_key: str | None, environment: str | None) -> None:
        if base_url is not None and not self._is_usable(base_url):
            raise NotConfigured("base_url is an http:// or https:// address, without a user name")
        for name, text in (("api_key", api_key), ("environment", environment)):
            if text is not None and not is_header_text(text):
                # Below, a message would quote it: the line break of a file that was read is soon there.
                raise NotConfigured(
                    f"{name} is empty, or holds a blank, a line break or a letter that no header can have"
                )
        self.base_url = base_url
        self._api_key = None if api_key is None else Secret(api_key)
        self._environment = environment

    @classmethod
    def unknown(cls) -> Self:
        """No address at all."""
        return cls(None, None, None)

    def url(self, path: str) -> str:
        """The address of a path. Raises `NotConfigured` if there is no address or no key."""
        if self.base_url is None or self._api_key is None:
            raise NotConfigured("this call needs the client's base_url and api_key")
        return self.base_url.rstrip("/") + path

    @property
    def headers(self) -> dict[str, str]:
        """What each request bears."""
        key = "" if self._api_key is None else self._api_key.reveal()
        # Only the admin key, which belongs to every environment, is asked which one is meant; others pass it over.
        chosen = {} if self._environment is None else {"X-Tokenkeep-Environment": self._environment}
        return {"Authorization": f"Bearer {key}", "Accept": "application/json", "User-Agent": _AGENT, **chosen}

    @staticmethod
    def _is_usable(base_url: str) -> bool:
        try:
            parts = urlsplit(base_url)
            httpx.URL(base_url)
            is_whole = bool((parts.hostname or "").encode("idna")) and parts.port != 0
        except (ValueError, httpx.InvalidURL):  # a bracket is open, the port is no number, a name's part is too long
            return False
        # A user name in it would stand in the place of the key.
        return is_whole and parts.scheme in {"http", "https"} and "@" not in parts.netloc


class ApiWire:
    """Calls the API and waits for its answers. Opens connections when they are needed, in each process its own.

    Threads may share it. `http_client`, a caller's own, stays open when this is closed.
    """

    def __init__(
        self,
        address: Address,
        transport: httpx.BaseTransport | None = None,
        http_client: httpx.Client | None = None,
        lifeline: Lifeline | None = None,
    ) -> None:
        self._address = address
        self._lifeline = lifeline
        self._transport = transport
        self._given = http_client
        self._client: httpx.Client | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def apart(self, lifeline: Lifeline) -> "ApiWire":
        """The same API over connections of its own, which the lifeline cuts; over the same ones if they are a caller's."""
        if self._given is not None or self._transport is not None:
            return ApiWire(self._address, http_client=self._opened())
        return ApiWire(self._address, lifeline=lifeline)

    def carry_out(self, effect: Effect) -> Any:
        """The JSON of an answer. Raises as `exchange` does."""
        assert isinstance(effect, Call)  # noqa: S101 - nothing else is wanted of it
        return self.exchange(effect).document()

    def exchange(self, call: Call) -> Reply:
        """The answer to a call. Raises `Unreachable` or `ApiProblem`."""
        client = self._opened()
        request = _request(client, self._address, call)
        if self._lifeline is not None:
            request.extensions["trace"] = self._lifeline.watch
        until = time.monotonic() + _deadline(call)
        try:
            response = client.send(request, stream=True, auth=None, follow_redirects=False)
            try:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise Unreachable("the answer is too long")
                    if time.monotonic() > until:
                        raise DeadlineExceeded("the answer comes too slowly")
            finally:
                response.close()
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _lost(error) from error
        return succeeded(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client = None

    def _opened(self) -> httpx.Client:
        if self._given is not None:
            return self._given
        if self._pid != os.getpid():
            # After a fork both processes would read from the parent's connections; a lock may be held for ever.
            self._client, self._lock, self._pid = None, threading.Lock(), os.getpid()
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(transport=self._transport, follow_redirects=False)
            return self._client


class AsyncApiWire:
    """As `ApiWire`, on an event loop."""

    def __init__(
        self,
        address: Address,
        transport: httpx.AsyncBaseTransport | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._address = address
        self._transport = transport
        self._given = http_client
        self._client: httpx.AsyncClient | None = None

    async def carry_out(self, effect: Effect) -> Any:
        """The JSON of an answer. Raises as `exchange` does."""
        assert isinstance(effect, Call)  # noqa: S101 - as above
        return (await self.exchange(effect)).document()

    async def exchange(self, call: Call) -> Reply:
        """The answer to a call. Raises `Unreachable` or `ApiProblem`."""
        client = self._opened()
        request = _request(client, self._address, call)
        try:
            async with asyncio.timeout(_deadline(call)):
                response = await client.send(request, stream=True, auth=None, follow_redirects=False)
                try:
                    body = bytearray()
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > _MOST_BYTES:
                            raise Unreachable("the answer is too long")
                finally:
                    await response.aclose()
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            raise _lost(error) from error
        return succeeded(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _opened(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, follow_redirects=False)
        return self._client


def succeeded(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer, if it is a success.

    Raises:
        Unreachable: It can't answer now.
        ApiProblem: It refuses.
    """
    if httpx.codes.is_success(status):
        return Reply(status, headers, body)
    document = parsed(body)
    raise fault(status, headers, document if isinstance(document, dict) else {})


def is_header_text(text: str) -> bool:
    """Whether a header may hold it as one word: visible ASCII (RFC 9110, section 5.5)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def parsed(body: bytes) -> Any:
    """A body's JSON; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _lost(error: Exception) -> Unreachable:
    name = type(error).__name__
    if isinstance(error, _NOT_SENT):
        return Unreachable(name, maybe_done=False)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return DeadlineExceeded("no answer in time")
    return Unreachable(name)


def _request(client: httpx.Client | httpx.AsyncClient, address: Address, call: Call) -> httpx.Request:
    parameters = {name: value for name, value in call.parameters.items() if value is not None}
    deadline = _deadline(call)
    return client.build_request(
        call.method,
        address.url(call.path),
        params=parameters,
        content=call.content,
        json=call.body,
        headers={**address.headers, **call.headers},
        timeout=httpx.Timeout(deadline, connect=min(_CONNECT_S, deadline)),
    )


def _deadline(call: Call) -> float:
    return call.patience + 2 * _CONNECT_S if call.deadline is None else call.deadline
