"""Whose word about an address is believed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep_api.client_addresses import ClientAddresses, neighbourhood

PROXIES = ("10.0.0.0/8", "192.0.2.10", "2001:db8:ff::/48")


def scope(peer: str | None, *told: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in told]
    return {"client": None if peer is None else (peer, 4711), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "told", "seen"),
    [
        ("198.51.100.7", (), "198.51.100.7"),
        ("198.51.100.7", ("203.0.113.1",), "198.51.100.7"),  # no proxy of ours, so its word counts for nothing
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.1",), "203.0.113.1"),
        ("10.0.0.1", ("1.1.1.1, 203.0.113.1",), "203.0.113.1"),  # what the client made up is to the left
        ("10.0.0.1", ("1.1.1.1, 203.0.113.1, 10.2.3.4, 192.0.2.10",), "203.0.113.1"),
        ("10.0.0.1", ("1.1.1.1", "203.0.113.1", "10.2.3.4"), "203.0.113.1"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("203.0.113.1, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.1, <script>, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("203.0.113.1:51234",), "203.0.113.1"),
        ("10.0.0.1", ("[2001:db8::7]:443",), "2001:db8::7"),
        ("2001:db8:ff::1", ("2001:DB8::0007",), "2001:db8::7"),
        ("::ffff:10.0.0.1", ("::ffff:203.0.113.1",), "203.0.113.1"),
        (None, ("203.0.113.1",), None),
        ("", ("203.0.113.1",), None),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_counts(
    peer: str | None, told: tuple[str, ...], seen: str | None
) -> None:
    assert ClientAddresses(PROXIES)(scope(peer, *told)) == seen


def test_without_a_setting_nothing_that_a_header_says_counts() -> None:
    assert ClientAddresses(())(scope("10.0.0.1", "203.0.113.1")) == "10.0.0.1"


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_whatever_a_header_says_an_address_comes_out(told: str) -> None:
    seen = ClientAddresses(PROXIES)(scope("10.0.0.1", told))
    assert seen is not None
    assert len(seen) <= 45


def test_a_list_without_end_is_read_for_a_while_only() -> None:
    assert ClientAddresses(PROXIES)(scope("10.0.0.1", "10.0.0.2," * 10_000 + "10.0.0.3")) == "10.0.0.2"


def test_a_neighbourhood_is_what_one_subscriber_has() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood(None) == neighbourhood("no address")
