"""`TokenkeepAuth`: what requests bear, what follows a 401, and where credentials never go."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from resource_server import Resource, resource_server
from tokenkeep.client import (
    AsyncTokenkeep,
    InvalidInput,
    NotConfigured,
    OriginNotAllowed,
    Tokenkeep,
    TokenkeepAuth,
    UnreadableAnswer,
)
from tokenkeep.client.bearing import BearingHeaders
from tokenkeep.client.credentialed import Origins, origin_of
from vending_api import ACCOUNT, VendingApi

Sending = Callable[..., httpx.Response]


class ByText(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends as httpx-aiohttp does: to where the address's text leads, and it calls no `trace`."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with httpx.HTTPTransport() as inner:
            answer = inner.handle_request(self.copied(request, content=request.read()))
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncHTTPTransport() as inner:
            answer = await inner.handle_async_request(self.copied(request, content=await request.aread()))
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def copied(self, request: httpx.Request, content: bytes) -> httpx.Request:
        return httpx.Request(request.method, str(request.url), headers=dict(request.headers), content=content)


@pytest.fixture
def api() -> VendingApi:
    return VendingApi()


@pytest.fixture
def resource() -> Iterator[Resource]:
    with resource_server() as serving:
        yield serving


@pytest.fixture
def elsewhere() -> Iterator[Resource]:
    with resource_server() as serving:
        yield serving


@pytest.fixture(params=["blocking", "async"])
def send(request: pytest.FixtureRequest, api: VendingApi) -> Sending:
    """Sends one request by an httpx client with `TokenkeepAuth`, whose options are given in `auth`."""

    transport = httpx.MockTransport(api)

    def blocking(
        method: str,
        url: str,
        *,
        auth: dict[str, Any] | None = None,
        by: httpx.BaseTransport | None = None,
        follow: bool = False,
        **given: Any,
    ) -> httpx.Response:
        keep = Tokenkeep("https://keep.test", "tk_key", transport=transport)
        options: dict[str, Any] = {"auth": TokenkeepAuth(keep, ACCOUNT, **auth or {}), "follow_redirects": follow}
        with keep, httpx.Client(**options, transport=by) as http:
            return http.request(method, url, **given)

    async def sent(
        method: str,
        url: str,
        *,
        auth: dict[str, Any] | None = None,
        by: httpx.AsyncBaseTransport | None = None,
        follow: bool = False,
        **given: Any,
    ) -> httpx.Response:
        async with AsyncTokenkeep("https://keep.test", "tk_key", transport=transport) as keep_on_loop:
            options: dict[str, Any] = {"auth": TokenkeepAuth(keep_on_loop, ACCOUNT, **auth or {})}
            http = httpx.AsyncClient(**options, transport=by, follow_redirects=follow)
            return await on_client(http, method, url, **given)

    def on_loop(method: str, url: str, **given: Any) -> httpx.Response:
        content = given.get("content")
        if content is not None and not isinstance(content, bytes):
            given["content"] = streamed(content)
        return asyncio.run(sent(method, url, **given))

    return blocking if request.param == "blocking" else on_loop


async def on_client(http: httpx.AsyncClient, method: str, url: str, **given: Any) -> httpx.Response:
    async with http:
        return await http.request(method, url, **given)


async def streamed(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_a_request_bears_the_accounts_token(send: Sending, resource: Resource) -> None:
    resource.good = {"Bearer token-1"}
    assert send("GET", f"{resource.url}/me?a=b").status_code == 200
    assert resource.seen == [("/me?a=b", "Bearer token-1", b"")]


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"headers": {"x-api-key": "k"}}, ("/me?a=b", "k", b"")),
        ({"headers": {}, "query": {"api_key": "k&"}}, ("/me?a=b&api_key=k%26", None, b"")),
        ({"headers": {}, "path": "/bot1:k/"}, ("/bot1:k/me?a=b", None, b"")),
    ],
)
def test_other_kinds_of_credentials_stand_where_they_belong(
    send: Sending, api: VendingApi, resource: Resource, changes: dict[str, Any], seen: tuple[str, str | None, bytes]
) -> None:
    api.changes, api.life, resource.header = {**changes, "access_token": None}, None, "x-api-key"
    send("GET", f"{resource.url}/me?a=b")
    assert resource.seen[0] == seen


@pytest.mark.parametrize("changes", [{"query": {"api_key": "canary"}}, {"path": "/bot:canary"}])
def test_what_logs_and_errors_quote_of_a_request_holds_no_credentials(
    send: Sending, api: VendingApi, resource: Resource, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    api.changes, api.life, api.refreshing = {**changes, "headers": {}, "access_token": None}, None, False
    with caplog.at_level("INFO", "httpx"):
        answer = send("GET", f"{resource.url}/me?a=b")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        answer.raise_for_status()
    assert "canary" in resource.seen[0][0]
    assert f"{resource.url}/me?a=b" in caplog.text
    for told in (caplog.text, str(refused.value), repr(answer.request), repr(answer.url), str(answer.url)):
        assert "canary" not in told


def test_a_request_that_is_sent_twice_bears_credentials_once(api: VendingApi, resource: Resource) -> None:
    api.changes, api.life, api.refreshing = {"headers": {}, "access_token": None, "path": "/bot:k"}, None, False
    with (
        Tokenkeep("https://keep.test", "tk_key", transport=httpx.MockTransport(api)) as keep,
        httpx.Client(auth=TokenkeepAuth(keep, ACCOUNT)) as http,
    ):
        request = http.build_request("GET", f"{resource.url}/me")
        http.send(request)
        http.send(request)
    assert [path for path, _, _ in resource.seen] == ["/bot:k/me"] * 2


def test_a_redirect_is_relative_to_where_the_request_went(send: Sending, api: VendingApi, resource: Resource) -> None:
    api.changes, api.life = {"headers": {}, "access_token": None, "path": "/bot:k"}, None
    resource.moved = "there?"
    with pytest.raises(httpx.TooManyRedirects):
        send("GET", f"{resource.url}/me", follow=True)
    assert [path for path, _, _ in resource.seen][:2] == ["/bot:k/me", "/bot:k/there?/bot:k/me"]


def test_each_request_of_oauth1_is_signed_for_itself(send: Sending, api: VendingApi, resource: Resource) -> None:
    signed: list[Any] = []

    def watch(name: str, body: Any) -> None:
        if name == "sign":
            signed.append(body)

    api.answer_first = watch
    api.changes = {"headers": {}, "access_token": None, "sign_url": "https://keep.test/sign"}
    resource.good = {"OAuth POST"}
    assert send("POST", f"{resource.url}/me?a=b", data={"c": "d"}).status_code == 200
    assert signed == [{"method": "POST", "url": f"{resource.url}/me?a=b", "body": "c=d"}]


def test_a_refused_token_is_reported_and_replaced_and_the_request_made_once_more(
    send: Sending, api: VendingApi, resource: Resource
) -> None:
    resource.good = {"Bearer token-2"}
    assert send("POST", f"{resource.url}/me", content=b"body").status_code == 200
    assert resource.seen == [("/me", "Bearer token-1", b"body"), ("/me", "Bearer token-2", b"body")]
    assert len(api.reported) == 1


def test_a_body_that_streams_is_sent_once_more_too(send: Sending, resource: Resource) -> None:
    resource.good = {"Bearer token-2"}
    answer = send("POST", f"{resource.url}/me", content=iter([b"bo", b"dy"]), headers={"Content-Length": "4"})
    assert answer.status_code == 200
    assert [body for _, _, body in resource.seen] == [b"body", b"body"]


def test_a_body_that_is_not_to_be_read_into_memory_is_sent_once(
    send: Sending, api: VendingApi, resource: Resource
) -> None:
    body, headers = iter([b"bo", b"dy"]), {"Content-Length": "4"}
    answer = send("POST", f"{resource.url}/me", content=body, headers=headers, auth={"buffer_bodies": False})
    assert answer.status_code == 401
    assert len(resource.seen) == len(api.reported) == 1


def test_a_second_401_is_given_back_as_it_is(send: Sending, api: VendingApi, resource: Resource) -> None:
    assert send("GET", f"{resource.url}/me").status_code == 401
    assert [borne for _, borne, _ in resource.seen] == ["Bearer token-1", "Bearer token-2"]
    assert len(api.reported) == 1


def test_where_no_newer_token_can_be_had_the_first_401_is_given_back(
    send: Sending, api: VendingApi, resource: Resource
) -> None:
    api.refreshing, api.life = False, None
    assert send("GET", f"{resource.url}/me").status_code == 401
    assert len(resource.seen) == 1


def test_after_a_redirect_to_another_origin_a_token_is_not_there_and_a_401_is_not_about_it(
    send: Sending, api: VendingApi, resource: Resource, elsewhere: Resource
) -> None:
    resource.moved = elsewhere.url
    assert send("GET", f"{resource.url}/me", follow=True).status_code == 401
    assert elsewhere.seen == [("/me", None, b"")]
    assert api.reported == []


def test_a_redirect_never_takes_a_key_to_another_origin(
    send: Sending, api: VendingApi, resource: Resource, elsewhere: Resource
) -> None:
    api.changes, api.life = {"headers": {"x-api-key": "canary"}, "access_token": None}, None
    resource.header = elsewhere.header = "x-api-key"
    resource.moved = elsewhere.url
    with pytest.raises(OriginNotAllowed) as refused:
        send("GET", f"{resource.url}/me", follow=True)
    assert elsewhere.seen == []
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "canary"}, {"x-api-key": "canary", "Authorization": "Bearer canary"}]
)
def test_no_transport_takes_a_key_to_another_origin(
    send: Sending, api: VendingApi, resource: Resource, elsewhere: Resource, headers: dict[str, str]
) -> None:
    api.changes, api.life = {"headers": headers, "access_token": None}, None
    resource.header, resource.moved = "x-api-key", elsewhere.url
    for looked_at in ("x-api-key", "authorization"):
        elsewhere.header = looked_at
        with pytest.raises(OriginNotAllowed) as refused:
            send("GET", f"{resource.url}/me", follow=True, by=ByText())
        assert "canary" not in str(refused.value)
    assert [borne for _, borne, _ in resource.seen] == ["canary"] * 2
    assert [borne for _, borne, _ in elsewhere.seen] == [None] * 2


def test_a_token_goes_by_any_transport(send: Sending, api: VendingApi, resource: Resource) -> None:
    resource.good = {"Bearer token-2"}
    assert send("POST", f"{resource.url}/me", content=b"body", by=ByText()).status_code == 200
    assert resource.seen == [("/me", "Bearer token-1", b"body"), ("/me", "Bearer token-2", b"body")]
    assert len(api.reported) == 1


def test_a_redirect_that_would_lose_a_key_within_the_origin_says_what_to_use(
    send: Sending, api: VendingApi, resource: Resource
) -> None:
    api.changes, api.life = {"headers": {"x-api-key": "k"}, "access_token": None}, None
    resource.header, resource.moved = "x-api-key", f"{resource.url}/there"

    class MovedOnce(ByText):
        def copied(self, request: httpx.Request, content: bytes) -> httpx.Request:
            if request.url.path.startswith("/there"):
                resource.moved = None
            return super().copied(request, content)

    with pytest.raises(NotConfigured, match=r"redirects: use httpx\.HTTPTransport"):
        send("GET", f"{resource.url}/me", follow=True, by=MovedOnce())
    assert [borne for _, borne, _ in resource.seen] == ["k", None]
    assert api.reported == []


@pytest.mark.parametrize("changes", [{"query": {"api_key": "canary"}}, {"path": "/bot:canary"}])
def test_a_transport_that_leaves_credentials_out_of_addresses_is_told(
    send: Sending, api: VendingApi, resource: Resource, changes: dict[str, Any]
) -> None:
    api.changes, api.life = {**changes, "headers": {}, "access_token": None}, None
    with pytest.raises(NotConfigured, match=r"addresses: use httpx\.HTTPTransport") as refused:
        send("GET", f"{resource.url}/me?a=b", by=ByText())
    assert "canary" not in str(refused.value)
    assert resource.seen == [("/me?a=b", None, b"")]
    assert api.reported == []


@pytest.mark.parametrize(
    "changes",
    [{"headers": {"x-api-key": "k"}}, {"headers": {}, "query": {"x-api-key": "k"}}, {"headers": {}, "path": "/k"}],
)
def test_a_transport_of_a_tests_own_sees_them(send: Sending, api: VendingApi, changes: dict[str, Any]) -> None:
    api.changes, api.life, api.refreshing = {**changes, "access_token": None}, None, False

    def told(request: httpx.Request) -> httpx.Response:
        borne = (
            "k" in (request.headers.get("x-api-key"), request.url.params.get("x-api-key")) or "/k/" in request.url.path
        )
        return httpx.Response(403 if borne else 500)

    assert send("GET", "https://api.test/me", by=httpx.MockTransport(told)).status_code == 403


def test_headers_that_bear_a_key_are_read_as_others_are_and_copied_without_it() -> None:
    plain = httpx.Headers({"Accept": "*/*", "X-Api-Key": "k"})
    bearing = BearingHeaders(httpx.Headers({"Accept": "*/*", "x-api-key": "given"}), [(b"X-Api-Key", b"k")])
    assert bearing.raw == plain.raw
    assert dict(bearing) == dict(plain) == dict(bearing.items())
    assert list(bearing.values()) == list(plain.values())
    assert bearing.multi_items() == plain.multi_items()
    assert bearing.get_list("x-api-key") == [bearing["X-API-KEY"]] == ["k"]
    assert "x-api-key" in bearing
    assert len(bearing) == 2
    for copy in (
        httpx.Headers(bearing),
        bearing.copy(),
        httpx.Request("GET", "https://api.test", headers=bearing).headers,
    ):
        assert "x-api-key" not in copy
    assert "'k'" not in repr(bearing)
    del bearing["accept"]
    bearing["x-api-key"] = "other"
    assert bearing.raw == [(b"x-api-key", b"other")]
    assert bearing.pop("X-Api-Key") == "other"
    assert list(bearing) == []


def test_an_httpx_that_copies_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    present = httpx.Headers

    class Otherwise(present):  # type: ignore[misc, valid-type]
        def __init__(self, headers: Any = None) -> None:
            super().__init__(headers.raw if isinstance(headers, present) else headers)

    bare = httpx.Headers({"Accept": "*/*"})
    monkeypatch.setattr(httpx, "Headers", Otherwise)
    with pytest.raises(NotConfigured, match="this version of httpx"):
        BearingHeaders(bare, [(b"X-Api-Key", b"k")])


def test_a_copy_of_the_headers_on_the_way_loses_no_key(send: Sending, api: VendingApi, resource: Resource) -> None:
    api.changes, api.life, resource.header = {"headers": {"x-api-key": "k"}, "access_token": None}, None, "x-api-key"
    resource.good = {"k"}

    class Copying(ByText):
        def copied(self, request: httpx.Request, content: bytes) -> httpx.Request:
            headers = httpx.Headers(request.headers)
            return httpx.Request(
                request.method, request.url, headers=headers, content=content, extensions=request.extensions
            )

    assert send("GET", f"{resource.url}/me", by=Copying()).status_code == 200


def test_a_redirect_within_the_origin_keeps_them(send: Sending, api: VendingApi, resource: Resource) -> None:
    api.changes, api.life = {"headers": {"x-api-key": "k"}, "access_token": None}, None
    resource.header, resource.moved = "x-api-key", f"{resource.url}/there"
    with pytest.raises(httpx.TooManyRedirects):
        send("GET", f"{resource.url}/me", follow=True)
    assert {borne for _, borne, _ in resource.seen} == {"k"}


@pytest.mark.parametrize(
    ("origins", "url"),
    [
        (None, "http://api.test/me"),
        (["https://api.test"], "https://evil.test/me"),
        (["https://api.test"], "http://api.test/me"),
        (["https://api.test"], "https://api.test:8443/me"),
        (["api.test"], "https://api.test.evil.test/me"),
    ],
)
def test_a_request_to_where_credentials_do_not_belong_is_not_sent(
    send: Sending, api: VendingApi, origins: list[str] | None, url: str
) -> None:
    with pytest.raises(OriginNotAllowed):
        send("GET", url, auth={"origins": origins})
    assert api.calls == {}


def test_credentials_that_no_header_can_hold_are_not_quoted(send: Sending, api: VendingApi, resource: Resource) -> None:
    api.changes = {"headers": {"Authorization": "Bearer canary\n"}}
    with pytest.raises(UnreadableAnswer, match="Authorization") as refused:
        send("GET", f"{resource.url}/me")
    assert "canary" not in "".join(traceback.format_exception(refused.value))
    assert resource.seen == []


def test_an_origin_that_is_named_is_allowed_also_over_http(send: Sending, resource: Resource) -> None:
    resource.good = {"Bearer token-1"}
    assert send("GET", f"{resource.url}/me", auth={"origins": [resource.url]}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["", "ftp://api.test", "https://user@api.test", "https://api.test/path", "https://", "https://[", "a b"]
)
def test_what_is_no_origin_is_refused_by_name(origin: str) -> None:
    client = Tokenkeep("https://keep.test", "tk_key")
    with pytest.raises(InvalidInput, match="origins"):
        TokenkeepAuth(client, ACCOUNT, origins=[origin])


def test_one_origin_may_be_named_without_a_list() -> None:
    origins = Origins("api.test")
    origins.check(httpx.URL("https://api.test/me"))
    with pytest.raises(OriginNotAllowed):
        origins.check(httpx.URL("https://a/me"))


@pytest.mark.parametrize(
    ("argument", "value"), [("account_id", "src_" + "0" * 32), ("min_ttl", -1.0), ("timeout", 0.0)]
)
def test_what_cannot_be_meant_is_refused_before_the_first_request(argument: str, value: Any) -> None:
    client = Tokenkeep("https://keep.test", "tk_key")
    with pytest.raises(InvalidInput, match=argument):
        TokenkeepAuth(client, **{"account_id": ACCOUNT, argument: value})


def test_an_origin_with_other_letters_is_the_one_that_goes_over_the_wire() -> None:
    url = httpx.URL("https://B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test/me")
    for named in (
        "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test",
        "xn--bcher-kva.test",
        "https://XN--BCHER-KVA.test:443",
    ):
        Origins([named]).check(url)
    assert origin_of(url) == ("https", "xn--bcher-kva.test", 443)


def test_a_trace_of_the_callers_own_goes_on(send: Sending, resource: Resource) -> None:
    seen: list[str] = []

    class Trace:
        def __call__(self, event: str, _info: Any) -> Any:
            seen.append(event)
            return Nothing()

    class Nothing:
        def __await__(self) -> Iterator[None]:
            return iter(())

    send("GET", f"{resource.url}/me", extensions={"trace": Trace()})
    assert "http11.send_request_headers.started" in seen


def test_a_client_that_blocks_wants_one_that_blocks() -> None:
    with httpx.Client() as http, pytest.raises(TypeError, match="of a Tokenkeep"):
        http.get("https://api.test", auth=TokenkeepAuth(AsyncTokenkeep("https://keep.test", "tk_key"), ACCOUNT))


async def test_a_client_on_a_loop_wants_one_on_a_loop() -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(TypeError, match="of an AsyncTokenkeep"):
            await http.get("https://api.test", auth=TokenkeepAuth(Tokenkeep("https://keep.test", "tk_key"), ACCOUNT))
