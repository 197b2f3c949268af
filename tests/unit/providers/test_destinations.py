"""Where credentials go: every address that they are sent to, with what a source and an account fill into it."""

from dataclasses import replace

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.account_properties import account_properties
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.destinations import AccountDestinations, account_destinations, destinations
from tokenkeep.providers.entry import Holder, Property, Provider, Verification
from tokenkeep.providers.entry_file import source_properties

CATALOGUE = load_catalogue(None)
GENERIC = CATALOGUE.get("generic-oauth2")
PLAIN = {"token_url": "https://acme.test/token"}
SHOP = Property("shop", r"[a-z]+", "Shop")
PATH = Property("path", r"[a-z]+", "Path")
SHOPS = Provider(
    "shops",
    "Shops",
    AuthType.OAUTH2,
    placeholders=(SHOP, PATH),
    token_url="https://acme.test/{shop}/token",
    verification=Verification("https://{shop}.acme.test/{path}/me?key={key}"),
)


@pytest.mark.parametrize("option", ["token_url", "refresh_url", "revocation_url", "refresh_callout_url"])
def test_each_address_that_gets_one_counts(option: str) -> None:
    assert destinations(GENERIC, {**PLAIN, option: "https://other.test/"}) != destinations(GENERIC, PLAIN)


def test_an_address_that_is_written_out_is_the_same_as_the_one_that_stands_for_it() -> None:
    assert destinations(GENERIC, {**PLAIN, "refresh_url": PLAIN["token_url"]}) == destinations(GENERIC, PLAIN)


def test_nothing_else_counts() -> None:
    others = {"authorization_url": "https://other.test/", "scope_separator": ",", "refresh_rotates": "yes"}
    assert destinations(GENERIC, {**PLAIN, **others}) == destinations(GENERIC, PLAIN)


def test_without_a_token_address_nothing_can_be_told() -> None:
    assert destinations(GENERIC, {}) is None


def test_other_kinds_send_nothing() -> None:
    assert destinations(CATALOGUE.get("generic-api-key"), {}) == ()


def test_what_a_source_fills_into_an_entrys_addresses_counts() -> None:
    filled = [
        (provider, one.name)
        for provider in CATALOGUE.all()
        for one in source_properties(provider)
        if f"{{{one.name}}}" in (provider.token_url or "")
    ]
    assert filled
    for provider, name in filled:
        here, there = destinations(provider, {name: "here"}), destinations(provider, {name: "there"})
        assert here is not None
        assert here != there, provider.slug


def test_what_an_account_fills_into_addresses_counts_whole() -> None:
    def sent(**properties: str) -> AccountDestinations:
        return account_destinations(SHOPS, {}, properties)

    here = sent(shop="here", path="a")
    assert (here.verification, here.grant) == (
        "https://here.acme.test/a/me?key={key}",
        ("https://acme.test/here/token", "https://acme.test/here/token", None),
    )
    assert sent(shop="there", path="a").verification_moved(here)
    assert sent(shop="there", path="a").grant_moved(here)
    assert sent(shop="here", path="b").verification_moved(here)
    assert not sent(shop="here", path="b").grant_moved(here)
    assert not sent(shop="here", path="a", other="x").verification_moved(here)


def test_an_address_that_is_first_complete_counts_and_one_that_no_longer_is_does_not() -> None:
    whole = account_destinations(SHOPS, {}, {"shop": "here", "path": "a"})
    for properties in ({}, {"shop": "here"}, {"shop": "NO", "path": "a"}):
        partial = account_destinations(SHOPS, {}, properties)
        assert partial.verification is None
        assert whole.verification_moved(partial)
        assert not partial.verification_moved(whole)


def test_what_the_source_and_the_entry_fill_in_is_filled_in() -> None:
    entry = replace(SHOPS, placeholders=(replace(SHOP, holder=Holder.SOURCE), replace(PATH, default="main")))
    assert account_destinations(entry, {"shop": "own"}, {"shop": "ignored"}).verification == (
        "https://own.acme.test/main/me?key={key}"
    )


def test_other_kinds_than_oauth2_have_no_grant_to_send() -> None:
    assert account_destinations(CATALOGUE.get("gitlab-pat"), {}, {}).grant == ()
    assert account_destinations(CATALOGUE.get("generic-custom"), {}, {}) == AccountDestinations(None, ())


def test_every_entry_whose_accounts_say_where_they_are_verified_is_seen_to() -> None:
    """What is compared is what `verification_request` asks at."""
    named = [
        (provider, one)
        for provider in CATALOGUE.all()
        for one in account_properties(provider)
        if provider.verification is not None and f"{{{one.name}}}" in provider.verification.url
    ]
    assert named
    for provider, one in named:
        # Patterns are left aside: any two values do.
        loose = replace(provider, placeholders=tuple(replace(it, pattern=".*") for it in provider.placeholders))
        options = {"token_url": "https://acme.test/token", **{it.name: "x" for it in source_properties(provider)}}
        others = {it.name: "x" for it in account_properties(provider)}
        here, there = (account_destinations(loose, options, {**others, one.name: it}) for it in ("here", "there"))
        assert there.verification_moved(here), provider.slug
