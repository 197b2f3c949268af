"""Words that sound like a dead grant and are about something else: nobody is disabled for them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.verdict import Granted, Revoked
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.classify import classify
from tokenkeep.providers.rules import OAuth2Rules

NOW = datetime(2026, 11, 26, tzinfo=UTC)
RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/token")


def revokes(status: int, document: object) -> bool:
    answer = Answer(status, {}, json.dumps(document).encode())
    return isinstance(classify(answer, RULES, sent_at=NOW, now=NOW), Revoked)


def granted(body: Any) -> TokenSet:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    verdict = classify(Answer(200, {}, raw), RULES, sent_at=NOW, now=NOW)
    assert isinstance(verdict, Granted), verdict
    return verdict.tokens


SENTENCES = [
    "Unable to validate refresh token at this time",
    "Failed to validate refresh token: database unavailable",
    "Could not verify the refresh token: upstream returned 500",
    "upstream connection terminated",
    "Session store: session not found in cluster",
    "Refresh token was used within the last 10 seconds",
    "Account temporarily disabled",
    "Store is closed for maintenance",
    "This workspace is disabled due to unpaid invoices",
    "User must accept the new terms of service",
    "account removed from beta program",
    "The service account was disabled",
    "Developer must log in to the portal to accept new terms",
    "The app must re-authenticate with its client credentials",
    "mTLS required: must reauthenticate with certificate",
    "Please reconnect later",
    "The DPoP proof token was already used",
    "nonce reuse detected",
    "refresh token request: unknown parameter 'scope'",
    "refresh token handler not found",
    "The refresh token API v1 is no longer supported",
    "Refresh token is bound to an unknown certificate",
]


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_a_sentence_alone(status: int, sentence: str) -> None:
    assert not revokes(status, {"message": sentence})
    assert not revokes(status, {"error": "invalid_request", "error_description": sentence})
    assert not revokes(status, {"error": "unauthorized_client", "error_description": sentence})


@pytest.mark.parametrize(
    "description",
    [
        *[
            "Database error",
            "An unexpected error occurred",
            "Server is busy",
            "Connection timeout",
            "Upstream unavailable",
        ],
        *["could not obtain lock", "The system is under maintenance", "Please try later", "Client is disabled"],
        *[
            "Unauthorized client",
            "Bad credentials",
            "Invalid secret",
            "IP not whitelisted",
            "Access token not expired yet",
        ],
        *["code_verifier does not match", "Invalid audience", "Tenant not found", "Token not yet valid"],
        "the token was issued to another application",
    ],
)
def test_invalid_grant_beside_words_about_something_else(description: str) -> None:
    assert not revokes(400, {"error": "invalid_grant", "error_description": description})


@pytest.mark.parametrize(
    "description",
    [
        "The provided grant has expired. Please re-authenticate and try again.",
        "Refresh token expired due to inactivity timeout",
        "Token has been expired or revoked.",
        "",
    ],
)
def test_invalid_grant_that_says_what_it_means(description: str) -> None:
    assert revokes(400, {"error": "invalid_grant", "error_description": description})


@pytest.mark.parametrize(
    "code",
    [
        *[
            "token_endpoint_not_found",
            "authorization_server_not_found",
            "session_store_not_found",
            "user_pool_not_found",
        ],
        *["refresh_token_not_allowed", "refresh_token_not_supported", "refresh_not_due", "token_used_too_early"],
        *["refresh_failed", "invalid_refresh_token_request", "request_token_expired", "service_account_disabled"],
        *["keymanagement.service.CompanyStatusNotActive", "ExpiredTokenException", "ExpiredToken"],
    ],
)
def test_codes_of_machinery(code: str) -> None:
    assert not revokes(400, {"error": {"code": code}})


@pytest.mark.parametrize("status", [402, 407, 408, 421, 423, 425, 451])
def test_statuses_that_are_never_about_a_grant(status: int) -> None:
    assert not revokes(status, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "document",
    [
        {"status": 503, "body": {"message": "Service unavailable"}},
        {"status": 401, "body": {"message": "Invalid client"}},
        {"status": 503, "body": {}, "error": "Invalid Params: invalid client_id"},
        {"error": {"type": "OAuthException", "code": 190, "is_transient": True, "fbtrace_id": "x"}},
        {
            "error": {
                "type": "OAuthException",
                "code": 190,
                "message": "Error validating application.",
                "fbtrace_id": "x",
            }
        },
        {"error": "invalid_grant", "code": "invalid_client"},
    ],
)
def test_dialects_of_others(document: object) -> None:
    assert not revokes(200, document)
    assert not revokes(400, document)


@pytest.mark.parametrize(
    "body",
    [
        {"access": "A2", "refresh": "R2"},
        {"access_token": "A2", "refresh_token": " R2\n"},
        {"access_token": "A2\n", "refresh_token": "R2"},
        {"access_token": "A2", "data": {"refresh_token": "R2"}},
        {"access_token": "A2", "refresh_token": "R2", "error": "0"},
        {"access_token": "A2", "refresh_token": "R2", "error": {"code": 0, "message": "ok"}},
        b'{"access_token":"A2","refresh_token":"R2","note":"a\nb"}',
        b'{"access_token":"A2","refresh_token":"R2"}<!-- cached -->',
        b'<b>Warning</b>: foo.php <br>{"access_token":"A2","refresh_token":"R2"}',
        b'{"access_token":"A2","refresh_token":"R2","expires_in":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_rotated_token_is_found_however_it_is_written(body: Any) -> None:
    tokens = granted(body)
    assert tokens.access_token.reveal() == "A2"
    assert tokens.refresh_token is not None
    assert tokens.refresh_token.reveal() == "R2"


@pytest.mark.parametrize("word", ["null", "undefined", "None", "N/A", "not_supported", "false", "***", "[REDACTED]"])
def test_a_word_for_none_is_no_token(word: str) -> None:
    assert granted({"access_token": "A2", "refresh_token": word}).refresh_token is None
    answer = Answer(200, {}, json.dumps({"access_token": word, "expires_in": 60}).encode())
    assert not isinstance(classify(answer, RULES, sent_at=NOW, now=NOW), Granted)


@pytest.mark.parametrize(
    "document",
    [
        {"success": "false", "access_token": "old"},
        {"errcode": 40001, "errmsg": "invalid credential", "access_token": "old"},
        {"status": "error", "access_token": "old"},
        {"token": "csrf-abc", "expires": 1800, "message": "please sign in"},
    ],
)
def test_a_failure_with_a_token_in_it_is_no_success(document: object) -> None:
    answer = Answer(200, {}, json.dumps(document).encode())
    assert not isinstance(classify(answer, RULES, sent_at=NOW, now=NOW), Granted)
