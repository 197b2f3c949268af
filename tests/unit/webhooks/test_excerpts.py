"""What of an endpoint's answer is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.adapters.webhooks.excerpts import LONGEST, excerpt_of


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", None),
        (b" \r\n\t", None),
        (b"OK", "OK"),
        (b"<h1>No</h1>\r\n\x00\x1b[31m red", "<h1>No</h1> [31m red"),
        ("gr\u00fc\u00dfe \u202e".encode(), "gr\u00fc\u00dfe"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"expected whsec_C2FVsBQIhrscChlQIMV", "expected whsec_***"),
        (b'{"access_token": "abc", "ok": 1}', '{"access_token": ***, "ok": 1}'),
        (b"Authorization: Bearer tk_abcdefgh", "Authorization: ***"),
    ],
)
def test_it_is_one_printable_line_with_secrets_masked(body: bytes, kept: str | None) -> None:
    assert excerpt_of(body) == kept


def test_a_secret_across_the_end_is_masked_before_the_text_is_cut() -> None:
    excerpt = excerpt_of(b"x" * (LONGEST - 8) + b" whsec_C2FVsBQIhrscChlQIMV")
    assert excerpt is not None
    assert "C2" not in excerpt
    assert len(excerpt) <= LONGEST


@given(st.binary(max_size=20_000))
def test_whatever_comes_it_is_short_and_printable(body: bytes) -> None:
    excerpt = excerpt_of(body)
    assert excerpt is None or (0 < len(excerpt) <= LONGEST and excerpt.isprintable())
