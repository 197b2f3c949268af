"""What the answers of hooks mean: what their protocol says, and nothing that a proxy in front of a receiver can say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.hook_answers import read_hook_answer
from tokenkeep.providers.rules import OAuth2Rules

NOW = datetime(2026, 1, 31, tzinfo=UTC)
RULES = OAuth2Rules(
    token_url="https://acme.test/token", refresh_url="https://acme.test/token", access_token_path="payload.token"
)


def read(status: int, said: Any, **headers: str) -> object:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_hook_answer(Answer(status, named, body), RULES, sent_at=NOW, now=NOW)


@pytest.mark.parametrize("status", [200, 201])
def test_a_token_set_is_read_where_the_standard_has_it(status: int) -> None:
    verdict = read(status, {"access_token": "a", "refresh_token": "r", "expires_in": 60})
    assert isinstance(verdict, Granted)
    assert verdict.tokens.expires_at == NOW + timedelta(seconds=60)


def test_only_the_refusal_of_the_protocol_is_a_refusal() -> None:
    assert read(400, {"error": "invalid_grant"}) == Revoked("invalid_grant", None, 400)
    assert read(400, {"error": "invalid_grant", "error_description": "wrong client"}) == Revoked(
        "invalid_grant", None, 400
    )


def test_only_the_word_of_the_protocol_is_about_the_client() -> None:
    assert read(401, {"error": "invalid_client"}) == Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, {"detail": "Token has been revoked"}),
        (401, {"message": "Unauthorized: token revoked"}),
        (401, {"error": "login_required"}),
        (401, {"error": "token_expired"}),
        (401, {"error": "session_expired"}),
        (401, {"error": "invalid_grant"}),
        (401, b""),
        (400, {"error": "invalid_client"}),
        (400, {"message": "refresh token expired"}),
        (400, {"error": "unauthorized_client"}),
        (400, {"error": ["invalid_grant"]}),
        (403, {"error": "account_disabled"}),
        (403, {"error": "user_suspended"}),
        (403, b"<html><body>Request rate limit exceeded</body></html>"),
        (404, {"error": "app_uninstalled"}),
        (422, {"detail": [{"msg": "the refresh token is invalid"}]}),
        (200, {"error": "invalid_grant"}),
        (200, {"error": "slow_down"}),
        (200, {"access_token": "a", "error": "invalid_grant"}),
        (200, b"{"),
        (301, b""),
        (500, {"error": "invalid_grant"}),
        (502, {"error": "temporarily_unavailable"}),
        (503, b"<html><body>Service Unavailable</body></html>"),
        (503, {"message": "no healthy upstream"}),
    ],
)
def test_every_other_answer_is_a_doubt(status: int, said: Any) -> None:
    verdict = read(status, said)
    assert isinstance(verdict, Unavailable)
    assert (verdict.maybe_spent, verdict.http_status) == (True, status)


def test_whoever_is_too_busy_has_spent_nothing() -> None:
    assert read(429, b"slow down", retry_after="7") == RateLimited(timedelta(seconds=7), 429)
    for verdict in (read(503, {"error": "temporarily_unavailable"}), read(503, b"", retry_after="7")):
        assert isinstance(verdict, Unavailable)
        assert not verdict.maybe_spent


def test_what_never_left_is_no_doubt_and_what_was_lost_is_one() -> None:
    unsent = NoAnswer(FailureReason.TIMEOUT, maybe_sent=False, detail="late")
    assert read_hook_answer(unsent, RULES, sent_at=NOW, now=NOW) == NotSent(FailureReason.TIMEOUT)
    lost = NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail="late")
    assert read_hook_answer(lost, RULES, sent_at=NOW, now=NOW) == Unavailable(FailureReason.TIMEOUT, maybe_spent=True)


def test_a_code_that_looks_like_a_secret_is_not_kept() -> None:
    verdict = read(403, {"error": "x" * 200})
    assert isinstance(verdict, Unavailable)
    assert verdict.code is None
