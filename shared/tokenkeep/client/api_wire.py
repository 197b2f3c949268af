"""Calls of the API, by httpx, and what its answers mean."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from tokenkeep.client.effects import Call, Effect
from tokenkeep.client.errors import ApiProblem, NotConfigured, Unreachable
from tokenkeep.domain.errors import CursorExpired, NotAuthenticated, TokenkeepError
from tokenkeep.domain.secret import Secret

LONGEST_RETRY_AFTER_S = 300.0
_CONNECT_S = 5.0
_MOST_BYTES = 16 * 1024 * 1024
_AWAY = frozenset({429, 500, 502, 503, 504})
_GONE, _UNAUTHORIZED = 410, 401


class Address:
    """Where the API is, and by which key it is asked."""

    def __init__(self, base_url: str | None, api_key: str | None, environment: str | None) -> None:
        if base_url is not None and not self._is_usable(base_url):
            raise NotConfigured("base_url is an http:// or https:// address, without a user name")
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
        return {"Authorization": f"Bearer {key}", "Accept": "application/json", **chosen}

    @staticmethod
    def _is_usable(base_url: str) -> bool:
        parts = urlsplit(base_url)
        # A user name in it would stand in the place of the key.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc


class ApiWire:
    """Calls the API and waits for its answers. Opens connections when they are needed."""

    def __init__(self, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        self._address = address
        self._transport = transport
        self._client: httpx.Client | None = None

    def carry_out(self, effect: Effect) -> Any:
        """The JSON of an answer. Raises `Unreachable`, `ApiProblem`, `NotAuthenticated` or `CursorExpired`."""
        assert isinstance(effect, Call)  # noqa: S101 - nothing else is wanted of it
        if self._client is None:
            self._client = httpx.Client(transport=self._transport, follow_redirects=False)
        request = _request(self._client, self._address, effect)
        until = time.monotonic() + _deadline(effect)
        try:
            response = self._client.send(request, stream=True)
            try:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES or time.monotonic() > until:
                        raise Unreachable("the answer is too long, or comes too slowly")
            finally:
                response.close()
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unreachable(type(error).__name__) from error
        return answer(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


class AsyncApiWire:
    """As `ApiWire`, on an event loop."""

    def __init__(self, address: Address, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._address = address
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def carry_out(self, effect: Effect) -> Any:
        """The JSON of an answer. Raises `Unreachable`, `ApiProblem`, `NotAuthenticated` or `CursorExpired`."""
        assert isinstance(effect, Call)  # noqa: S101 - as above
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, follow_redirects=False)
        request = _request(self._client, self._address, effect)
        try:
            async with asyncio.timeout(_deadline(effect)):
                response = await self._client.send(request, stream=True)
                try:
                    body = bytearray()
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > _MOST_BYTES:
                            raise Unreachable("the answer is too long")
                finally:
                    await response.aclose()
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from error
        return answer(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """What the API says.

    Raises:
        Unreachable: It can't answer now, or something that is not the API answered.
        CursorExpired: Events after the cursor are not kept any more.
        NotAuthenticated: The key is not valid.
        ApiProblem: It refuses.
    """
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if httpx.codes.is_success(status):
        if not isinstance(document, dict):
            raise Unreachable(f"the answer {status} is no JSON object")
        return document
    raise _fault(status, headers, document if isinstance(document, dict) else {})


def _fault(status: int, headers: Mapping[str, str], document: Mapping[str, Any]) -> TokenkeepError:
    code = str(document.get("code", "unknown"))
    if status in _AWAY:
        return Unreachable(f"{status} {code}", retry_after=_retry_after(headers.get("retry-after", "")))
    if status == _GONE and code == CursorExpired.code:
        return CursorExpired()
    if status == _UNAUTHORIZED:
        return NotAuthenticated()
    return ApiProblem(status, code, str(document.get("detail", "")), document.get("field"))


def _retry_after(value: str) -> float | None:
    """The seconds of a Retry-After; a date in it is not counted on."""
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isascii() and value.isdigit() else None


def _request(client: httpx.Client | httpx.AsyncClient, address: Address, call: Call) -> httpx.Request:
    parameters = {name: value for name, value in call.parameters.items() if value is not None}
    timeout = httpx.Timeout(_deadline(call), connect=_CONNECT_S)
    return client.build_request(
        call.method, address.url(call.path), params=parameters, json=call.body, headers=address.headers, timeout=timeout
    )


def _deadline(call: Call) -> float:
    return call.patience + 2 * _CONNECT_S
