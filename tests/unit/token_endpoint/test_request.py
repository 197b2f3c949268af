"""A request as bytes."""

import pytest

from tokenkeep.adapters.token_endpoint.request import _OURS, UnsendableRequest, serialise
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.request_shape import RESERVED_HEADERS


@pytest.mark.parametrize(
    ("url", "target"), [("https://a.test/t", "/t?a=1&b=%20"), ("https://a.test/t?x=y", "/t?x=y&a=1&b=%20")]
)
def test_a_secret_query_is_added_to_the_address(url: str, target: str) -> None:
    origin, message = serialise(TokenRequest(url, {}, Secret(""), "GET", query=Secret("a=1&b=%20")))
    assert str(origin) == "https://a.test"
    assert message.decode() == f"GET {target} HTTP/1.1\r\nhost: a.test\r\naccept-encoding: identity\r\n\r\n"


@pytest.mark.parametrize("query", ["", "a=1 HTTP/1.1\r\nx: y", "a=\x00", "a=1#b", "a=\u00e9"])
def test_a_query_that_could_break_its_line_is_refused_and_not_quoted(query: str) -> None:
    with pytest.raises(UnsendableRequest) as refused:
        serialise(TokenRequest("https://a.test/t", {}, Secret(""), "GET", query=Secret(query)))
    assert str(refused.value) == "the query has characters that a query can't have"


def test_a_secret_end_of_the_path_goes_on_where_the_address_ends() -> None:
    request = TokenRequest("https://a.test/tokens/", {}, Secret(""), "DELETE", tail=Secret("a%2Fb/x?y=1"))
    origin, message = serialise(request)
    assert str(origin) == "https://a.test"
    assert message.decode().startswith("DELETE /tokens/a%2Fb/x?y=1 HTTP/1.1\r\n")
    _, message = serialise(
        TokenRequest("https://a.test/", {}, Secret(""), "GET", query=Secret("b=2"), tail=Secret("c"))
    )
    assert message.decode().startswith("GET /c?b=2 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "tail"),
    [
        ("https://a.test/", ""),
        ("https://a.test/", "a b"),
        ("https://a.test/", "a\r\nx: y"),
        ("https://a.test/?q=1", "a"),
    ],
)
def test_a_path_that_could_break_its_line_is_refused_and_not_quoted(url: str, tail: str) -> None:
    with pytest.raises(UnsendableRequest) as refused:
        serialise(TokenRequest(url, {}, Secret(""), "GET", tail=Secret(tail)))
    assert str(refused.value) == "the path has characters that a path can't have"


def test_no_entry_of_the_catalogue_may_set_a_header_that_the_connection_sets() -> None:
    assert _OURS <= RESERVED_HEADERS


def test_a_secret_end_of_a_path_is_added_before_the_query() -> None:
    request = TokenRequest("https://a.test/t/", {}, Secret(""), "GET", query=Secret("a=1"), tail=Secret("s%2F1"))
    _, message = serialise(request)
    assert message.startswith(b"GET /t/s%2F1?a=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "tail"), [("https://a.test/t", "x y"), ("https://a.test/t", "\r\n"), ("https://a.test/?a=1", "x")]
)
def test_an_end_of_a_path_that_could_break_out_is_refused_and_not_quoted(url: str, tail: str) -> None:
    with pytest.raises(UnsendableRequest) as refused:
        serialise(TokenRequest(url, {}, Secret(""), "GET", tail=Secret(tail)))
    assert str(refused.value) == "the path has characters that a path can't have"
