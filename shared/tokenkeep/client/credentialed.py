"""A request that bears credentials, and where they may go."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from tokenkeep.client.answers.token import Token
from tokenkeep.client.bearing import BearingHeaders, BearingUrl, Header
from tokenkeep.client.errors import NotConfigured, OriginNotAllowed, UnreadableAnswer
from tokenkeep.domain.errors import InvalidInput

Origin = tuple[str, str, int]

_UNAUTHORIZED = 401
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_SENDING = ".send_request_headers.started"
_LEFT_BEHIND = "authorization"
_REMEDY = "use httpx.HTTPTransport or httpx.AsyncHTTPTransport for this account"


class Origins:
    """Where credentials may go: to `https://…` origins that are named; without any, to wherever a request is sent by https."""

    def __init__(self, named: str | Iterable[str] | None) -> None:
        if isinstance(named, str):
            named = [named]  # its letters would be names of hosts
        self._named = None if named is None else frozenset(_parsed(one) for one in named)

    def check(self, url: httpx.URL) -> None:
        """Raises `OriginNotAllowed`. Its message names the host alone: the rest of an address may hold a secret."""
        origin = origin_of(url)
        if self._named is not None:
            if origin not in self._named:
                raise OriginNotAllowed(f"{url.scheme}://{url.host} is none of this account's origins")
        elif url.scheme != "https" and url.host not in _LOOPBACK:
            raise OriginNotAllowed(f"credentials don't go to {url.host} by {url.scheme}: it takes https, or `origins`")


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port (RFC 6454). The host as it goes over the wire, with other letters encoded (RFC 5891)."""
    return url.scheme, url.raw_host.decode("ascii").lower(), url.port or _PORTS.get(url.scheme, 0)


class Credentialed:
    """One request on its way. Raises `OriginNotAllowed` at once if its origin is not one for credentials.

    httpx follows redirects beneath the flow of an `httpx.Auth`, with a copy of the headers, from which it takes Authorization
    alone where the origin is another. What else is borne is in no copy: where httpcore sends, its `trace` puts it in again.
    """

    def __init__(self, request: httpx.Request, origins: Origins, *, on_loop: bool = False) -> None:
        origins.check(request.url)
        self._request = request
        # One that is sent a second time bears credentials already.
        self._url = request.url.bare if isinstance(request.url, BearingUrl) else request.url
        self._origin = origin_of(request.url)
        self._borne: frozenset[Header] = frozenset()
        self._uncopied: list[Header] = []
        self._is_watched = False
        given = request.extensions.get("trace")
        watch = self._watching_on_loop(given) if on_loop else self._watching(given)
        request.extensions = {**request.extensions, "trace": watch}

    @property
    def is_repeatable(self) -> bool:
        """Whether its body can be sent once more."""
        return isinstance(self._request.stream, httpx.ByteStream)

    def bearing(self, token: Token, signature: Mapping[str, str] | None = None) -> httpx.Request:
        """The request with these credentials, in the place of former ones."""
        headers = token.headers if signature is None else signature
        bare = httpx.Headers(self._request.headers)
        self._uncopied = []
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise UnreadableAnswer(f"the credentials can't stand in the header {name}")  # below it would be quoted
            if name.lower() == _LEFT_BEHIND:
                bare[name] = value
            else:
                self._uncopied.append((name.encode(), value.encode()))
        self._request.headers = BearingHeaders(bare, self._uncopied) if self._uncopied else bare
        self._borne = frozenset((name.lower().encode(), value.encode()) for name, value in headers.items())
        self._request.url = self._address(token)
        return self._request

    def check_arrival(self, response: httpx.Response) -> None:
        """Whether the credentials were where the answer comes from, after whatever redirects.

        Raises:
            OriginNotAllowed: A redirect led elsewhere, and a request without them went there.
            NotConfigured: The transport is not httpcore's, and sent none of them.
        """
        request = response.request
        if self._uncopied and not isinstance(request.headers, BearingHeaders):
            where = origin_of(request.url)
            if where != self._origin:
                raise _led_away(where)
            if not self._is_watched:
                raise NotConfigured(f"the client's transport can't take the credentials through redirects: {_REMEDY}")
        url = self._request.url
        is_sent = self._is_watched or not isinstance(url, BearingUrl) or url.was_read
        if not is_sent and response.is_client_error:
            raise NotConfigured(f"the client's transport takes no credentials in addresses: {_REMEDY}")

    def is_refused(self, response: httpx.Response) -> bool:
        """Whether the answer is about the credentials: after a redirect to elsewhere, they were not there."""
        return response.status_code == _UNAUTHORIZED and origin_of(response.request.url) == self._origin

    def _address(self, token: Token) -> httpx.URL:
        url = self._url
        if token.path is not None:
            path = quote(token.path, safe="/:@").rstrip("/").encode() + url.raw_path
            url = url.copy_with(raw_path=path)
        if token.query:
            url = url.copy_merge_params(dict(token.query))
        return self._url if url == self._url else BearingUrl(url, self._url)

    def _check(self, event: str, info: Mapping[str, Any]) -> None:
        """Before headers leave: none of the credentials goes to another origin, and all of them to the request's own."""
        if not event.endswith(_SENDING):
            return
        request = info["request"]
        target = request.url
        where = (
            target.scheme.decode(),
            target.host.decode().lower(),
            target.port or _PORTS.get(target.scheme.decode(), 0),
        )
        if target.target.startswith(b"http"):  # a proxy is told the whole address (RFC 9112, section 3.2.2)
            where = origin_of(httpx.URL(target.target.decode()))
        borne = any((name.lower(), value) in self._borne for name, value in request.headers)
        # A proxy is asked for a tunnel without them.
        if where != self._origin and (borne or (self._uncopied and request.method != b"CONNECT")):
            raise _led_away(where)
        if where == self._origin:
            self._is_watched = True
            names = {name.lower() for name, _ in request.headers}
            missing = [(name, value) for name, value in self._uncopied if name.lower() not in names]
            request.headers = [*request.headers, *missing]

    def _watching(self, given: Callable[..., None] | None) -> Callable[[str, Mapping[str, Any]], None]:
        def watch(event: str, info: Mapping[str, Any]) -> None:
            self._check(event, info)
            if given is not None:
                given(event, info)

        return watch

    def _watching_on_loop(
        self, given: Callable[..., Awaitable[None]] | None
    ) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
        async def watch(event: str, info: Mapping[str, Any]) -> None:
            self._check(event, info)
            if given is not None:
                await given(event, info)

        return watch


def _led_away(where: Origin) -> OriginNotAllowed:
    return OriginNotAllowed(f"a redirect leads to {where[0]}://{where[1]}, and credentials don't go there")


def _parsed(text: str) -> Origin:
    try:
        url = httpx.URL(text if "://" in text else f"https://{text}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    has_host = _HOST.fullmatch(url.raw_host.decode("ascii"))
    if url.scheme not in _PORTS or not has_host or url.userinfo or url.path.strip("/") or url.query or url.fragment:
        raise InvalidInput("origins", "an origin is such as https://api.example.com")
    return origin_of(url)
