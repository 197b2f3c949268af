"""Where refresh tokens go: every address that one is sent to, with what a source fills into it."""

import pytest

from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.destinations import destinations
from tokenkeep.providers.entry_file import source_properties

CATALOGUE = load_catalogue(None)
GENERIC = CATALOGUE.get("generic-oauth2")
PLAIN = {"token_url": "https://acme.test/token"}


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
