"""The request that shows whether credentials work."""

from typing import Any

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.entry import Holder, Property, Provider, Verification
from tokenkeep.providers.request_credentials import RequestCredentials, request_credentials
from tokenkeep.providers.verification_request import names_in, verification_request

SHOP = Property("shop", r"[a-z0-9-]+", "Shop")
REALM = Property("realm", r"[a-z]+", "Realm", default="main", holder=Holder.SOURCE)
PROVIDER = Provider("acme", "Acme", AuthType.OAUTH2, placeholders=(SHOP, REALM))
FIELDS = {"access_token": Secret("at/+1")}
BEARER = request_credentials(PROVIDER, {}, FIELDS, properties={})


def written(
    verification: Verification,
    shown: RequestCredentials = BEARER,
    properties: dict[str, str] | None = None,
    **more: Any,
) -> TokenRequest:
    return verification_request(
        verification,
        PROVIDER,
        more,
        client_id="an id",
        fields=FIELDS,
        shown=shown,
        properties={"shop": "blue"} if properties is None else properties,
    )


def test_a_token_goes_into_the_usual_header() -> None:
    request = written(Verification("https://{shop}.acme.test/{realm}/me?x=1"))
    assert (request.method, request.url) == ("GET", "https://blue.acme.test/main/me")
    assert request.query == Secret("x=1")
    assert request.headers == {"accept": "application/json", "user-agent": "tokenkeep", "authorization": "Bearer at/+1"}
    assert written(Verification("https://acme.test/{realm}"), realm="own").url == "https://acme.test/own"


def test_a_body_is_json_as_it_stands() -> None:
    query = '{"query": "{viewer{id}}"}'
    request = written(Verification("https://acme.test/graphql", "POST", body=query))
    assert (request.method, request.body) == ("POST", Secret(query))
    assert request.headers["content-type"] == "application/json"


def test_whoever_places_the_token_gets_no_authorization_header_besides() -> None:
    named = written(Verification("https://acme.test/me", headers={"x-token": "{token}", "x-client": "{client_id}"}))
    assert named.headers["x-token"] == "at/+1"
    assert named.headers["x-client"] == "an id"
    assert "authorization" not in named.headers
    own = written(Verification("https://acme.test/me", headers={"authorization": "OAuth {access_token}"}))
    assert own.headers["authorization"] == "OAuth at/+1"
    added = written(Verification("https://acme.test/me", headers={"x-client": "{client_id}"}))
    assert added.headers["authorization"] == "Bearer at/+1"


@pytest.mark.parametrize(
    ("url", "address", "tail", "query"),
    [
        ("https://acme.test/tokens/{access_token}", "https://acme.test/tokens/", "at%2F%2B1", None),
        ("https://acme.test/t/{token}/{shop}?a=b", "https://acme.test/t/", "at%2F%2B1/blue", "a=b"),
        ("https://acme.test/check?token={access_token}", "https://acme.test/check", None, "token=at%2F%2B1"),
    ],
)
def test_no_secret_is_part_of_an_address(url: str, address: str, tail: str | None, query: str | None) -> None:
    request = written(Verification(url))
    assert request.url == address
    assert request.tail == (None if tail is None else Secret(tail))
    assert request.query == (None if query is None else Secret(query))
    assert "at/+1" not in repr(request)


def test_credentials_of_other_kinds_go_where_they_belong() -> None:
    keyed = written(Verification("https://acme.test/me?a=b"), RequestCredentials(query={"key": "k{shop}"}))
    assert keyed.query == Secret("a=b&key=k%7Bshop%7D")
    bot = written(Verification("https://acme.test/getMe"), RequestCredentials(path="/bot7:{shop}/"))
    assert (bot.url, bot.tail) == ("https://acme.test", Secret("/bot7:%7Bshop%7D/getMe"))
    assert "authorization" not in keyed.headers


def test_a_property_that_is_missing_or_leads_elsewhere_is_refused() -> None:
    for properties in ({}, {"shop": "evil.test/"}):
        with pytest.raises(InvalidInput, match=r"properties\.shop"):
            written(Verification("https://{shop}.acme.test/me"), properties=properties)


def test_ids_may_name_properties() -> None:
    assert names_in(PROVIDER, {"realm": "own"}, {"shop": "blue"}) == {"shop": "blue", "realm": "own"}
    assert names_in(PROVIDER, {}, {}) == {"realm": "main"}
