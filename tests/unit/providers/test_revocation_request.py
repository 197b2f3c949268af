"""The requests that have grants revoked: RFC 7009's, and those of providers with ways of their own."""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.client_authentication import BasicSecret, Client, PostedSecret, Proof
from tokenkeep.providers.entry import RequestFormat, RequestMethod
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.revocation_request import revocation_request
from tokenkeep.providers.revocation_way import RevocationMethod, RevocationWay, TokenKind
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules

RULES = OAuth2Rules(token_url="https://idp.example/token", refresh_url="https://idp.example/token")
WAY = RevocationWay("https://idp.example/revoke")
BASIC = BasicSecret(Secret("shh"))
POSTED = PostedSecret(Secret("shh"))
BOTH = {TokenKind.REFRESH: Secret("rt+1"), TokenKind.ACCESS: Secret("at/1")}
BARE = {TokenKind.ACCESS: Secret("at/1")}
CATALOGUE = load_catalogue()


def asked(
    way: RevocationWay = WAY,
    tokens: dict[TokenKind, Secret] = BOTH,
    *,
    rules: OAuth2Rules = RULES,
    proof: Proof = BASIC,
    properties: dict[str, str] | None = None,
) -> TokenRequest:
    client = Client("client", proof)
    return revocation_request(rules, way, client=client, tokens=tokens, properties=properties or {})


def pairs(written: Secret | None) -> dict[str, str]:
    assert written is not None
    return {name: values[0] for name, values in parse_qs(written.reveal()).items()}


def test_the_token_is_named_with_its_kind_and_the_client_shows_itself() -> None:
    request = asked()
    assert (request.method, request.url, request.query, request.tail) == ("POST", WAY.url, None, None)
    assert pairs(request.body) == {"token": "rt+1", "token_type_hint": "refresh_token"}
    assert request.headers["authorization"].startswith("Basic ")
    posted = asked(proof=POSTED)
    assert pairs(posted.body)["client_secret"] == "shh"
    assert "authorization" not in posted.headers


def test_an_account_that_never_had_a_refresh_token_loses_its_access_token() -> None:
    assert WAY.tokens_of(BARE) == {TokenKind.ACCESS}
    assert pairs(asked(tokens=BARE).body) == {"token": "at/1", "token_type_hint": "access_token"}


@pytest.mark.parametrize("shape", [{"request_format": RequestFormat.JSON}, {"request_method": RequestMethod.GET}])
def test_it_is_a_posted_form_whatever_the_token_endpoint_takes(shape: dict[str, Any]) -> None:
    request = asked(rules=replace(RULES, **shape))
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert pairs(request.body)["token"] == "rt+1"


def test_an_address_whose_property_is_missing_is_not_made_up() -> None:
    with pytest.raises(InvalidInput):
        asked(RevocationWay("https://{tenant}.idp.example/revoke"))


def test_a_secret_in_the_path_is_kept_apart_from_the_address() -> None:
    way = RevocationWay("https://idp.example/v1/{client_id}/{refresh_token}/x?y=1", RevocationMethod.DELETE)
    request = asked(way, {TokenKind.REFRESH: Secret("a/../b?c#d e")})
    assert (request.method, request.url) == ("DELETE", "https://idp.example/v1/client/")
    assert request.tail == Secret("a%2F..%2Fb%3Fc%23d%20e/x?y=1")
    assert not request.body
    assert "content-type" not in request.headers
    assert ".." not in f"{request!r} {request}"


@pytest.mark.parametrize("token", [".", ".."])
def test_a_token_of_dots_leads_to_no_other_path(token: str) -> None:
    with pytest.raises(InvalidInput):
        asked(RevocationWay("https://idp.example/{token}"), {TokenKind.REFRESH: Secret(token)})


def test_a_way_takes_only_the_tokens_that_it_names_and_none_if_one_is_missing() -> None:
    both = frozenset(TokenKind)
    bearer = RevocationWay("https://a.test/", by_client=False, header=("authorization", "Bearer {access_token}"))
    in_path = RevocationWay("https://a.test/{refresh_token}")
    named = RevocationWay("https://a.test/", params={"a": "{access_token}", "b": "{token}"})
    assert WAY.tokens_of(both) == {TokenKind.REFRESH}
    assert replace(WAY, token=TokenKind.ACCESS).tokens_of(both) == {TokenKind.ACCESS}
    assert bearer.tokens_of(both) == {TokenKind.ACCESS}
    assert in_path.tokens_of(both) == {TokenKind.REFRESH}
    assert in_path.tokens_of(BARE) == frozenset()
    assert named.tokens_of(both) == both
    assert named.tokens_of(BARE) == {TokenKind.ACCESS}


def basic(pair: str) -> str:
    return "Basic " + b64encode(pair.encode()).decode()


def of(slug: str, properties: dict[str, str] | None = None, options: dict[str, Any] | None = None) -> TokenRequest:
    rules = effective_rules(CATALOGUE.get(slug), options or {})
    assert rules.revocation is not None
    proof = BASIC if rules.at_revocation.client_auth is ClientAuth.BASIC else POSTED
    held = {kind: BOTH[kind] for kind in rules.revocation.tokens_of(BOTH)}
    return asked(rules.revocation, held, rules=rules, proof=proof, properties=properties)


BEARERS = [
    ("facebook", "DELETE", "https://graph.facebook.com/v22.0/me/permissions"),
    ("zendesk", "DELETE", "https://acme.zendesk.com/api/v2/oauth/tokens/current.json"),
    ("canvas-lms", "DELETE", "https://canvas.acme.edu/login/oauth2/token"),
    ("wahoo", "DELETE", "https://api.wahooligan.com/v1/permissions"),
    ("whoop", "DELETE", "https://api.prod.whoop.com/developer/v2/user/access"),
    ("slack", "POST", "https://slack.com/api/auth.revoke"),
    ("dropbox", "POST", "https://api.dropboxapi.com/2/auth/token/revoke"),
    ("strava", "POST", "https://www.strava.com/oauth/deauthorize"),
    ("kakao", "POST", "https://kapi.kakao.com/v1/user/unlink"),
]


@pytest.mark.parametrize(("slug", "method", "url"), BEARERS)
def test_some_take_the_access_token_as_bearer_and_nothing_else(slug: str, method: str, url: str) -> None:
    request = of(slug, {"subdomain": "acme"}, {"hostname": "canvas.acme.edu"} if slug == "canvas-lms" else None)
    assert (request.method, request.url, request.query, request.tail) == (method, url, None, None)
    assert request.headers["authorization"] == "Bearer at/1"
    assert not request.body
    assert "content-type" not in request.headers


def test_github_deletes_a_grant_by_its_access_token_for_the_client_that_proves_itself() -> None:
    for slug in ("github", "github-app-user"):
        request = of(slug)
        assert (request.method, request.url) == ("DELETE", "https://api.github.com/applications/client/grant")
        assert request.headers["authorization"] == basic("client:shh")
        assert request.headers["user-agent"]
        assert json.loads(request.body.reveal()) == {"access_token": "at/1"}


def test_hubspot_wants_the_refresh_token_in_the_path() -> None:
    request = of("hubspot")
    assert (request.method, request.url) == ("DELETE", "https://api.hubapi.com/oauth/v1/refresh-tokens/")
    assert request.tail == Secret("rt%2B1")
    assert "authorization" not in request.headers


def test_shopify_and_square_have_headers_of_their_own() -> None:
    shopify = of("shopify", {"subdomain": "acme"})
    assert (shopify.method, shopify.url) == ("DELETE", "https://acme.myshopify.com/admin/api_permissions/current.json")
    assert shopify.headers["x-shopify-access-token"] == "at/1"
    square = of("square")
    assert square.headers["authorization"] == "Client shh"
    assert json.loads(square.body.reveal()) == {"client_id": "client", "access_token": "at/1"}


def test_mollie_deletes_what_others_post() -> None:
    request = of("mollie")
    assert (request.method, request.url) == ("DELETE", "https://api.mollie.com/oauth2/tokens")
    assert request.headers["authorization"] == basic("client:shh")
    assert pairs(request.body) == {"token": "rt+1", "token_type_hint": "refresh_token"}


def test_naver_and_zoho_want_it_in_the_query() -> None:
    naver = of("naver")
    assert (naver.method, naver.url) == ("GET", "https://nid.naver.com/oauth2.0/token")
    assert pairs(naver.query) == {
        "grant_type": "delete",
        "access_token": "at/1",
        "service_provider": "NAVER",
        "client_id": "client",
        "client_secret": "shh",
    }
    zoho = of("zoho")
    assert (zoho.method, zoho.url) == ("POST", "https://accounts.zoho.com/oauth/v2/token/revoke")
    assert pairs(zoho.query) == {"token": "rt+1"}
    assert not zoho.body


def test_the_rest_differ_in_little_from_the_standard() -> None:
    assert json.loads(of("quickbooks").body.reveal()) == {"token": "rt+1"}
    assert pairs(of("google").body)["token"] == "rt+1"
    assert "shh" not in of("google").body.reveal()
    assert pairs(of("zoom").body)["token"] == "at/1"
    assert pairs(of("twitch").body) == {"client_id": "client", "token": "at/1"}


def test_every_way_of_the_catalogue_can_be_gone_and_shows_no_secret() -> None:
    walked = 0
    for provider in CATALOGUE.all():
        if provider.auth_type != "oauth2" or provider.revocation_url is None or provider.token_url is None:
            continue
        properties = {it.name: it.example or it.default or "a" for it in provider.placeholders}
        rules = effective_rules(provider, properties)
        assert rules.revocation is not None
        assert rules.revocation.tokens_of(frozenset(TokenKind)), provider.slug
        request = asked(rules.revocation, rules=rules, proof=POSTED, properties=properties)
        assert "at/1" not in request.url, provider.slug
        assert "rt+1" not in request.url, provider.slug
        walked += 1
    assert walked > 60
