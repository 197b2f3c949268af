"""Where an OAuth 1.0a source's requests go, and its users."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.oauth1_rules import oauth1_rules, owner_authorization_url

CATALOGUE = load_catalogue()
OPEN = {
    "request_token_url": "https://p.example/initiate",
    "authorization_url": "https://p.example/authorize?lang=en",
    "access_token_url": "https://p.example/token",
}


@pytest.mark.parametrize("missing", list(OPEN))
def test_an_address_that_nobody_knows_is_named(missing: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        oauth1_rules(CATALOGUE.get("generic-oauth1"), {k: v for k, v in OPEN.items() if k != missing})
    assert caught.value.field == f"options.{missing}"


def test_the_entry_and_the_source_both_have_their_say() -> None:
    rules = oauth1_rules(CATALOGUE.get("trello"), {"app_name": "Acme", "signature_method": "PLAINTEXT"})
    assert rules.signature_method == "PLAINTEXT"
    url = owner_authorization_url(rules, client_id="c", token=Secret("t/1"), scopes=("read",), properties={})
    assert urlsplit(url).netloc == "trello.com"
    assert parse_qs(urlsplit(url).query) == {
        "expiration": ["never"],
        "name": ["Acme"],
        "oauth_token": ["t/1"],
        "scope": ["read"],
    }


def test_nothing_outranks_the_token() -> None:
    options = {**OPEN, "authorize_params": {"oauth_token": "another", "lang": "de"}}
    rules = oauth1_rules(CATALOGUE.get("generic-oauth1"), options)
    url = owner_authorization_url(rules, client_id="c", token=Secret("t"), scopes=(), properties={})
    assert url == "https://p.example/authorize?lang=de&oauth_token=t"


def test_an_account_names_its_host_within_the_providers_domain() -> None:
    rules = oauth1_rules(CATALOGUE.get("netsuite-tba"), {})
    url = owner_authorization_url(
        rules, client_id="c", token=Secret("t"), scopes=(), properties={"accountId": "123-sb1"}
    )
    assert urlsplit(url).netloc == "123-sb1.app.netsuite.com"
    with pytest.raises(InvalidInput) as caught:
        owner_authorization_url(
            rules, client_id="c", token=Secret("t"), scopes=(), properties={"accountId": "evil.example/"}
        )
    assert caught.value.field == "properties.accountId"
