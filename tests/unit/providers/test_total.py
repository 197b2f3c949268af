"""Nothing that an endpoint can send makes the classifier raise."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.verdict import Granted, Misconfigured, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.classify import classify
from tokenkeep.providers.rules import OAuth2Rules

SENT = datetime(2026, 5, 1, tzinfo=UTC)
RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/token")
KINDS = (Granted, Misconfigured, RateLimited, Revoked, Unavailable)

STATUSES = st.integers(min_value=0, max_value=999)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "location", "www-authenticate"]),
    st.one_of(st.text(max_size=40), st.integers().map(str), st.floats().map(str)),
)
KEYS = st.sampled_from(
    [
        *("access_token", "refresh_token", "expires_in", "expires_at", "refresh_token_expires_in", "scope", "scopes"),
        *("token_type", "error", "error_description", "code", "errors", "message", "status", "body", "data", "type"),
        *("error_codes", "error_subcode", "is_transient", "ok", "authed_user", "fault", "retry_after", "resource"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=60),
    st.sampled_from(
        ["invalid_grant", "OAuthException", "AADSTS700082", "at", "2026-05-01T12:00:00Z", "\ud800", "a.e30.c"]
    ),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)


def verdict_on(status: int, headers: dict[str, str], body: bytes) -> Verdict:
    life = timedelta(hours=1)
    return classify(Answer(status, headers, body), RULES, sent_at=SENT, now=SENT, fallback_lifetime=life)


@given(status=STATUSES, headers=HEADERS, body=st.binary(max_size=400))
def test_any_bytes_have_a_verdict(status: int, headers: dict[str, str], body: bytes) -> None:
    assert isinstance(verdict_on(status, headers, body), KINDS)


@given(status=st.sampled_from([200, 400, 401, 403, 500, 503]), headers=HEADERS, value=JSON)
def test_any_json_has_a_verdict(status: int, headers: dict[str, str], value: object) -> None:
    verdict = verdict_on(status, headers, json.dumps(value).encode())
    assert isinstance(verdict, KINDS)
    if isinstance(verdict, Granted):
        assert verdict.tokens.expires_at is not None
        assert verdict.tokens.expires_at > SENT


@given(
    status=st.sampled_from([200, 400, 503]),
    text=st.one_of(
        st.text(max_size=200), st.sampled_from(['{"error":"invalid_grant"}', '{"access_token":"at"}', "<a>b</a>"])
    ),
    encoding=st.sampled_from(
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "shift_jis", "cp1252", "utf-7"]
    ),
)
def test_any_encoding_has_a_verdict(status: int, text: str, encoding: str) -> None:
    assert isinstance(verdict_on(status, {}, text.encode(encoding, errors="replace")), KINDS)


@given(status=st.sampled_from([200, 400]), text=st.text(max_size=300))
def test_any_text_has_a_verdict(status: int, text: str) -> None:
    assert isinstance(verdict_on(status, {}, text.encode("utf-8", errors="surrogatepass")), KINDS)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"error":' * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"error":' * 200 + b'"invalid_grant"' + b"}" * 200,
        b'{"expires_in":' + b"9" * 5_000 + b',"access_token":"at"}',
        b'{"access_token":"at","expires_in":1e999}',
        b'{"access_token":"at","expires_in":NaN}',
        b'{"error_description":"' + b"refresh token " * 70_000 + b'"}',
        b'{"error":"' + b"a" * 1_000_000 + b'"}',
        b"a=" + b"&" * 1_000_000,
        b"<" * 1_000_000,
        b"x" * 1_000_000,
        b"\xff" * 1_000_000,
        b'{"errors":[' + b"{}," * 300_000 + b"{}]}",
        b'{"error":"' + b"a" * 10_000_000 + b'"}',
        b'{"error_description":"' + b"the user has revoked and expired tokens " * 250_000 + b'"}',
        b"<r>" + b"<error>x</error>" * 600_000 + b"</r>",
        b"error=invalid_grant&" + b"a=b&" * 2_500_000,
        b"<!DOCTYPE html>" + b"<p>revoked</p>" * 700_000,
    ],
    ids=lambda body: body[:16].decode("latin-1"),
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_deep_long_and_huge_bodies_have_a_verdict(status: int, body: bytes) -> None:
    assert isinstance(verdict_on(status, {}, body), KINDS)
