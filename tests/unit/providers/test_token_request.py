"""The requests that go to a token endpoint."""

import json
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs, unquote_plus

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.client_authentication import Assertion, BasicSecret, Client, PostedSecret, Proof
from tokenkeep.providers.entry import Property, RequestFormat, RequestMethod
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_request import authorization_code_request, refresh_request

RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/refresh")
HOST = Property("host", r"[a-z0-9-]+\.provider\.test", "Host", default="login.provider.test")


SECRET = Secret("s:e/c ret")
BASIC = BasicSecret(SECRET)
POSTED = PostedSecret(SECRET)


def refresh(rules: OAuth2Rules, properties: dict[str, str] | None = None, proof: Proof = BASIC) -> TokenRequest:
    client = Client("an id:1", proof)
    return refresh_request(rules, client=client, refresh_token=Secret("rt+/="), properties=properties or {})


def form(request: TokenRequest) -> dict[str, str]:
    return pairs(request.body)


def pairs(written: Secret) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(written.reveal(), keep_blank_values=True).items()}


def test_a_refresh_goes_to_the_refresh_address_as_a_form_without_a_scope() -> None:
    request = refresh(RULES)
    assert (request.method, request.url) == ("POST", "https://provider.test/refresh")
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "rt+/="}
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_basic_authentication_encodes_each_half_first() -> None:
    scheme, _, encoded = refresh(RULES).headers["authorization"].partition(" ")
    client_id, _, secret = b64decode(encoded).decode().partition(":")
    assert scheme == "Basic"
    assert (client_id, secret) == ("an+id%3A1", "s%3Ae%2Fc+ret")
    assert unquote_plus(secret) == "s:e/c ret"


def test_client_secret_post_puts_both_in_the_body_and_nothing_in_the_headers() -> None:
    request = refresh(RULES, proof=POSTED)
    assert "authorization" not in request.headers
    assert form(request)["client_id"] == "an id:1"
    assert form(request)["client_secret"] == "s:e/c ret"


def test_a_client_without_a_proof_names_itself_and_sends_no_secret() -> None:
    request = refresh(RULES, proof=None)
    assert "authorization" not in request.headers
    assert form(request).get("client_id") == "an id:1"
    assert "client_secret" not in form(request)


def test_an_assertion_stands_beside_the_id_of_the_client_that_it_names() -> None:
    request = refresh(RULES, proof=Assertion(Secret("h.p.s")))
    assert "authorization" not in request.headers
    assert form(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt+/=",
        "client_id": "an id:1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "h.p.s",
    }


def test_a_json_endpoint_gets_json() -> None:
    request = refresh(replace(RULES, request_format=RequestFormat.JSON))
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body.reveal()) == {"grant_type": "refresh_token", "refresh_token": "rt+/="}


@pytest.mark.parametrize("request_format", list(RequestFormat))
def test_with_get_the_parameters_stand_in_a_query_that_is_kept_apart_from_the_address(
    request_format: RequestFormat,
) -> None:
    request = refresh(replace(RULES, request_method=RequestMethod.GET, request_format=request_format), proof=POSTED)
    assert (request.method, request.url) == ("GET", "https://provider.test/refresh")
    assert request.query is not None
    assert pairs(request.query) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt+/=",
        "client_id": "an id:1",
        "client_secret": "s:e/c ret",
    }
    assert not request.body
    assert "content-type" not in request.headers
    assert "rt" not in f"{request!r} {request}"


def test_standard_parameters_go_by_the_providers_own_names() -> None:
    names = {"client_id": "appid", "client_secret": "secret", "refresh_token": "rt", "grant_type": "type", "code": "c"}
    rules = replace(RULES, param_names=names, refresh_params={"scope": "a"})
    assert form(refresh(rules, proof=POSTED)) == {
        "type": "refresh_token",
        "rt": "rt+/=",
        "scope": "a",
        "appid": "an id:1",
        "secret": "s:e/c ret",
    }
    exchange = authorization_code_request(
        rules,
        client=Client("id"),
        code=Secret("c/1"),
        redirect_uri="https://app.test/cb",
        code_verifier=None,
        properties={},
    )
    assert form(exchange)["c"] == "c/1"


def test_the_entrys_headers_are_sent_and_never_replace_ours() -> None:
    wanted = {"x-api-version": "2", "authorization": "Bearer x", "accept": "a/b", "content-type": "a/b"}
    headers = refresh(replace(RULES, token_headers=wanted)).headers
    assert headers["x-api-version"] == "2"
    assert headers["authorization"].startswith("Basic ")
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "application/x-www-form-urlencoded"


def test_refresh_parameters_are_added_and_outrank_the_standard_ones() -> None:
    rules = replace(
        RULES, refresh_params={"scope": "a b", "grant_type": "renew", "region": "{host}"}, placeholders=(HOST,)
    )
    sent = form(refresh(rules))
    assert (sent["scope"], sent["grant_type"], sent["region"]) == ("a b", "renew", "login.provider.test")


def test_placeholders_take_the_accounts_properties_or_the_default() -> None:
    rules = replace(RULES, refresh_url="https://{host}/token", placeholders=(HOST,))
    assert refresh(rules).url == "https://login.provider.test/token"
    assert refresh(rules, {"host": "acme.provider.test"}).url == "https://acme.provider.test/token"


@pytest.mark.parametrize("value", ["evil.test", "acme.provider.test.evil.test", "evil.test/acme.provider.test", "a\n"])
def test_a_property_cannot_lead_the_request_to_another_place(value: str) -> None:
    rules = replace(RULES, refresh_url="https://{host}/token", placeholders=(HOST,))
    with pytest.raises(InvalidInput) as caught:
        refresh(rules, {"host": value})
    assert caught.value.field == "properties.host"
    assert value not in str(caught.value)


@pytest.mark.parametrize("placeholders", [(), (replace(HOST, default=None),)])
def test_a_missing_property_is_named(placeholders: tuple[Property, ...]) -> None:
    rules = replace(RULES, refresh_url="https://{host}/token", placeholders=placeholders)
    with pytest.raises(InvalidInput) as caught:
        refresh(rules)
    assert caught.value.field == "properties.host"


@pytest.mark.parametrize("verifier", [None, "v" * 43])
def test_a_code_is_exchanged_at_the_token_address(verifier: str | None) -> None:
    request = authorization_code_request(
        RULES,
        client=Client("id", BASIC),
        code=Secret("c/1"),
        redirect_uri="https://app.test/cb?x=1",
        code_verifier=None if verifier is None else Secret(verifier),
        properties={},
    )
    assert request.url == "https://provider.test/token"
    expected = {"grant_type": "authorization_code", "code": "c/1", "redirect_uri": "https://app.test/cb?x=1"}
    assert form(request) == (expected if verifier is None else {**expected, "code_verifier": verifier})


def test_a_request_shows_no_secret() -> None:
    request = refresh(RULES)
    shown = f"{request!r} {request}"
    assert request.headers["authorization"] not in shown
    assert "rt+/=" not in shown
