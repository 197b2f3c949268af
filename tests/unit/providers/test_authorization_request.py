"""The address at which an end user is asked."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.authorization_request import (
    asked_scopes,
    authorization_url,
    fits,
    is_from_issuer,
    missing_properties,
    wants_pkce,
)
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.entry import Property, Provider
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules, Pkce

TENANT = Property("tenant", "[a-z]{1,8}", "Tenant")
RULES = OAuth2Rules(
    token_url="https://{tenant}.example/token",
    refresh_url="https://{tenant}.example/token",
    authorization_url="https://{tenant}.example/authorize?audience=api",
    authorize_params={"prompt": "consent", "state": "ours", "hint": "{tenant}"},
    offline_scopes=("offline_access",),
    scope_separator=",",
    placeholders=(TENANT,),
)


def url(rules: OAuth2Rules = RULES, **changes: Any) -> str:
    given: dict[str, Any] = {
        "client_id": "c&d",
        "redirect_uri": "https://tokens.example/connect/callback",
        "scopes": ("read", "offline_access"),
        "state": Secret("s-1"),
        "code_verifier": Secret("v" * 43),
        "properties": {"tenant": "acme"},
        **changes,
    }
    return authorization_url(rules, **given)


def test_the_protocols_parameters_are_added_to_the_address_and_outrank_the_entrys() -> None:
    parts = urlsplit(url())
    challenge = urlsafe_b64encode(sha256(b"v" * 43).digest()).rstrip(b"=").decode()
    assert (parts.netloc, parts.path) == ("acme.example", "/authorize")
    assert dict(parse_qsl(parts.query)) == {
        "audience": "api",
        "prompt": "consent",
        "hint": "acme",
        "scope": "read,offline_access",
        "response_type": "code",
        "client_id": "c&d",
        "redirect_uri": "https://tokens.example/connect/callback",
        "state": "s-1",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }


def test_without_scopes_or_a_verifier_neither_is_mentioned() -> None:
    bare = OAuth2Rules("https://a.example/t", "https://a.example/t", authorization_url="https://a.example/a")
    query = dict(parse_qsl(urlsplit(url(bare, scopes=(), code_verifier=None)).query))
    assert not query.keys() & {"scope", "code_challenge", "code_challenge_method"}
    assert asked_scopes(RULES, ()) == ("offline_access",)


@pytest.mark.parametrize("properties", [{}, {"tenant": "evil.example/"}])
def test_an_address_is_not_led_elsewhere_by_a_property(properties: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        url(properties=properties)
    assert refused.value.field == "properties.tenant"


def test_without_an_address_nobody_can_be_sent_anywhere() -> None:
    with pytest.raises(InvalidInput):
        url(OAuth2Rules("https://a.example/t", "https://a.example/t"))


def test_what_the_user_must_fill_in_is_what_nobody_knows() -> None:
    assert missing_properties(RULES, {}) == (TENANT,)
    assert missing_properties(RULES, {"tenant": "acme"}) == ()
    catalogue = load_catalogue()
    for slug in ("salesforce", "quickbooks", "microsoft"):
        assert missing_properties(effective_rules(catalogue.get(slug), {}), {}) == ()


def test_a_value_must_fit_as_a_whole_and_be_of_this_world() -> None:
    assert fits(TENANT, "acme")
    assert not fits(TENANT, "acme\n")
    assert not fits(Property("any", ".*", "Any"), "a\0b")


def test_pkce_is_left_out_only_where_it_is_known_to_hurt() -> None:
    said = {pkce: wants_pkce(OAuth2Rules("https://a.example/t", "https://a.example/t", pkce=pkce)) for pkce in Pkce}
    assert said == {Pkce.REQUIRED: True, Pkce.SUPPORTED: True, Pkce.NONE: False}


OURS, EVIL = "https://a.example", "https://evil.example"
ALWAYS = "authorization_response_iss_parameter_supported"


@pytest.mark.parametrize(
    ("options", "told", "is_used"),
    [
        ({}, None, True),
        ({}, EVIL, True),
        ({"issuer": OURS}, None, True),
        ({"issuer": OURS}, OURS, True),
        ({"issuer": OURS}, EVIL, False),
        ({"issuer": OURS, ALWAYS: True}, OURS, True),
        ({"issuer": OURS, ALWAYS: True}, EVIL, False),
        ({"issuer": OURS, ALWAYS: True}, None, False),
        ({"issuer": OURS, ALWAYS: False}, None, True),
    ],
)
def test_an_answer_is_used_if_its_issuer_is_the_sources_and_named_where_it_always_is(
    options: dict[str, Any], told: str | None, *, is_used: bool
) -> None:
    assert is_from_issuer(load_catalogue().get("generic-oauth2"), options, told) is is_used


def test_a_source_outranks_what_its_provider_says_of_the_issuer() -> None:
    strict = Provider("acme", "Acme", AuthType.OAUTH2, issuer=EVIL, authorization_response_iss_parameter_supported=True)
    assert not is_from_issuer(strict, {}, None)
    assert is_from_issuer(strict, {ALWAYS: False}, None)
    assert is_from_issuer(strict, {"issuer": OURS}, OURS)
