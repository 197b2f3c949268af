from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenkeep.adapters.telemetry.redaction import MASK, _searched, is_sensitive, redact_event, redact_text
from tokenkeep.domain.secret import Secret

CANARY = "canary7f3a9c"


class Colour(StrEnum):
    RED = "red"


def redacted(**members: Any) -> dict[str, Any]:
    return dict(redact_event(None, "info", {"event": "something_happened", **members}))


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "oauth_token_secret",
        "client_secret",
        "client-secret",
        "password",
        "Authorization",
        "X-Api-Key",
        "api_key",
        "apiKey",
        "credentials",
        "refreshToken",
        "Set-Cookie",
        "code_verifier",
    ],
)
def test_what_is_named_like_a_secret_is_masked_whatever_it_holds(name: str) -> None:
    for value in (CANARY, 12345, [CANARY], {"a": CANARY}, object()):
        assert redacted(**{name: value})[name] == MASK


@pytest.mark.parametrize(
    "name",
    [
        "token_url",
        "token_type",
        "token_endpoint",
        "token_endpoint_auth_method",
        "token_fingerprint",
        "refresh_token_expires_at",
        "access_token_ttl_s",
        "api_key_id",
        "secret_version",
        "credential_ids",
        "tokenkeep_version",
        "account_id",
        "event",
        "reason",
    ],
)
def test_facts_about_a_secret_are_shown(name: str) -> None:
    assert not is_sensitive(name)
    assert redacted(**{name: "plain"})[name] == "plain"


def test_whether_there_is_a_secret_at_all_is_shown() -> None:
    assert redacted(refresh_token=None, has_token=True) == {
        "event": "something_happened",
        "refresh_token": None,
        "has_token": True,
    }


def test_a_secret_shows_its_mask_at_any_depth() -> None:
    assert redacted(a=Secret(CANARY), token=Secret(CANARY), b=[{"c": (Secret(CANARY),)}]) == {
        "event": "something_happened",
        "a": "Secret(***)",
        "token": "Secret(***)",
        "b": [{"c": ["Secret(***)"]}],
    }


@pytest.mark.parametrize(
    "text",
    [
        f"tk_{CANARY}",
        f"key=tk_{CANARY}",
        f"first\\ntk_{CANARY}",
        f"first\\nAuthorization: Bearer {CANARY}",
        f"whsec_{CANARY}+/=",
        f"Authorization: Bearer {CANARY}",
        f"got bearer {CANARY} for it",
        f"Authorization: Basic {CANARY}",
        f'{{"Authorization": "OAuth oauth_nonce=\\"1\\", oauth_signature=\\"{CANARY}\\""}}',
        f"(b'Authorization', b'Bearer {CANARY}')",
        f"grant_type=refresh_token&refresh_token={CANARY}&scope=a",
        f'{{"access_token": "{CANARY}", "token_type": "bearer"}}',
        f'{{"access_token":"a\\"{CANARY}"}}',
        f"{{'client_secret': '{CANARY}'}}",
        f'"{{\\"refresh_token\\": \\"{CANARY}\\"}}"',
        f'{{"access_token": "{CANARY}',
        f"TokenSet(access_token='{CANARY}', token_type='Bearer')",
        f"token_url=https://example.com/?access_token={CANARY}",
        f"GET /connect/callback?code={CANARY}&state=x HTTP/1.1",
        f"GET /connect/callback?x=1&state={CANARY}",
        f"HTTPSConnectionPool(host='c', port=443): Max retries exceeded with url: /{CANARY}/v1/traces?key={CANARY} (Caused by x)",
        f"Header format invalid! Header values must be a comma separated list of name=value occurrences: x-team: {CANARY},\n{CANARY}",
        f'https://c:443 "POST /{CANARY}/v1/traces?key={CANARY} HTTP/1.1" 200 None',
        f"postgresql://tokenkeep:{CANARY}@db:5432/tokenkeep",
        f"rediss://:{CANARY}@redis:6379/0",
        f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}",
        f"-----BEGIN PRIVATE KEY-----\nabc\n{CANARY}\n-----END PRIVATE KEY-----",
        f"'-----BEGIN RSA PRIVATE KEY-----\\n{CANARY}",
        f"[SQL: UPDATE x]\n[parameters: ('a]', '{CANARY}')]\n(Background on this error)",
        f"duplicate key\nDETAIL:  Key (external_id)=({CANARY}) already exists.",
        f"IntegrityError('duplicate key\\nDETAIL:  Failing row contains ({CANARY}).')",
        f"client_id\n  Field required [type=missing, input_value={{'x': '{CANARY}'}}, input_type=dict]",
    ],
)
def test_what_looks_like_a_secret_is_masked_in_any_text(text: str) -> None:
    assert CANARY not in redact_text(text)
    assert MASK in redact_text(text)
    assert CANARY not in str(redacted(message=text, nested=[{"deep": text}], error=ValueError(text)))
    assert CANARY not in str(redacted(mapping={text: 1}))


@pytest.mark.parametrize(
    "text",
    [
        "acc_0193e1a4c1c07d0f8f3c7be4a1b2c3d4",
        "https://example.com/oauth2/token?scope=a",
        "https://example.com:8443/token",
        "token_type=bearer, token_url=https://example.com/token",
        "the source is paused: invalid_client",
        "TOKENKEEP_KEYRING: entry 2 has the id of an earlier entry",
        "listening on tokenkeep_worker:9464",
        "2026-11-21T01:57:00Z",
        "stk_not_a_key and state=active",
    ],
)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_values_become_plain_so_that_no_renderer_asks_for_a_repr() -> None:
    moment = datetime(2026, 11, 21, 1, 57, tzinfo=UTC)
    assert redacted(
        at=moment,
        uuid=UUID(int=1),
        path=Path("a/b"),
        colour=Colour.RED,
        ratio=0.5,
        nan=float("nan"),
        raw=b"Bearer " + CANARY.encode(),
        names={"a"},
    ) == {
        "event": "something_happened",
        "at": "2026-11-21T01:57:00+00:00",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "path": "a/b",
        "colour": "red",
        "ratio": 0.5,
        "nan": "nan",
        "raw": f"b'Bearer {MASK}'",
        "names": ["a"],
    }


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "token",
        "token=",
        'token="',
        'token=\\"a',
        "token_url=",
        "a=",
        "token ",
        '"\\',
        "\\",
        " ",
        "=",
        "://",
        "://:",
        "eyJ",
        "eyJaaaaaa.",
        "tk_",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "bearer ",
        "authorization",
        "authorization=\n",
        "input_value=",
        "[parameters: ",
        "?code=",
    ],
)
def test_a_long_text_does_not_hold_the_process_up(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    for around in ("", "x", "\n"):
        redact_text(text + around)
        redact_text(f"token={around}{text}")


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "…" in str(redacted(loop=loop))


_WORDS = st.lists(st.sampled_from(["tk_", "whsec_", "bearer", "eyj", "code", "secret", "_", "a1b2", "0"]), max_size=9)


@given(_WORDS.map("".join))
@example("tk_a1b2c3d4")
@example("x_tk_a1b2c3d4")
@example("password_canary")
def test_a_plain_word_is_passed_over_only_where_a_search_would_find_nothing(word: str) -> None:
    assert redact_text(word) == _searched(word)
