"""The address at which an end user is asked."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.authorization_request import (
    asked_scopes,
    authorization_url,
    fits,
    known_issuer,
    missing_properties,
    wants_pkce,
)
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.entry import Property
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


def test_a_sources_issuer_outranks_its_providers() -> None:
    generic = load_catalogue().get("generic-oauth2")
    assert known_issuer(generic, {}) is None
    assert known_issuer(generic, {"issuer": "https://a.example"}) == "https://a.example"
