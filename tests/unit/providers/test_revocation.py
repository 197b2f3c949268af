"""What the answers to revocations mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.revocation import RevocationResult, RevocationVerdict, read_revocation
from tokenkeep.providers.revocation_way import RevocationMethod, RevocationWay, TokenKind

NOW = datetime(2026, 5, 1, tzinfo=UTC)
URL = "https://idp.example/revoke"
BEARER = ("authorization", "Bearer {access_token}")
RFC_7009 = RevocationWay(URL)
BY_TOKEN = RevocationWay(URL, RevocationMethod.DELETE, token=TokenKind.ACCESS, by_client=False, header=BEARER)
POSTED_BY_TOKEN = RevocationWay(URL, by_client=False, header=BEARER)
DELETED_BY_CLIENT = RevocationWay(URL, RevocationMethod.DELETE, params={"access_token": "{access_token}"})
REVOKED, REFUSED, LATER = RevocationResult


def read(
    way: RevocationWay, status: int, body: object = b"", *, outlived: bool = False, **headers: str
) -> RevocationVerdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_revocation(Answer(status, named, raw), way, now=NOW, outlived=outlived)


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize("way", [RFC_7009, BY_TOKEN])
def test_a_success_needs_no_body(way: RevocationWay, status: int) -> None:
    assert read(way, status).result is REVOKED


@pytest.mark.parametrize("error", ["unsupported_token_type", "invalid_request", "unsupported_response_type"])
def test_a_refusal_of_the_request_is_final(error: str) -> None:
    assert read(RFC_7009, 400, {"error": error}).result is REFUSED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "invalid_token"}),
        (400, {"error": "invalid_grant", "error_description": "Token is not active"}),
        (400, {"error": "invalid_request", "error_description": "Token has already been revoked or expired token"}),
        (400, {"status": 400, "message": "Invalid token"}),
        (200, {"ok": False, "error": "token_revoked"}),
    ],
)
def test_a_token_that_is_not_known_any_more_is_what_was_wanted(status: int, body: object) -> None:
    assert read(RFC_7009, status, body).result is REVOKED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "invalid_client"}),
        (400, {"error": "invalid_client", "error_description": "The client's token is invalid"}),
        (400, {"error": "unauthorized_client"}),
        (400, {"error": ["unsupported_token_type"]}),
        (400, {"error": "temporarily_unavailable"}),
        (400, {"code": 400, "message": "Bad Request"}),
        (400, b""),
        (400, b"<html>"),
        (401, {"error": "invalid_token"}),
        (403, b""),
        (404, b""),
        (429, b""),
        (302, b""),
        (500, {"error": "invalid_request"}),
        (503, b""),
    ],
)
def test_whatever_says_nothing_of_the_token_leaves_it_to_be_asked_again(status: int, body: object) -> None:
    assert read(RFC_7009, status, body).result is LATER


@pytest.mark.parametrize("maybe_sent", [False, True])
def test_silence_leaves_it_to_be_asked_again(*, maybe_sent: bool) -> None:
    lost = NoAnswer(FailureReason.TIMEOUT, maybe_sent=maybe_sent, detail="")
    assert read_revocation(lost, RFC_7009, now=NOW) == RevocationVerdict(LATER)


OWN_WAYS: list[tuple[str, RevocationWay, int, Any, RevocationResult]] = [
    ("github", DELETED_BY_CLIENT, 204, b"", REVOKED),
    ("github, grant gone", DELETED_BY_CLIENT, 404, {"message": "Not Found"}, REVOKED),
    ("github, secret changed", DELETED_BY_CLIENT, 401, {"message": "Bad credentials"}, LATER),
    ("github, malformed", DELETED_BY_CLIENT, 422, {"message": "Validation Failed"}, LATER),
    ("facebook", BY_TOKEN, 200, {"success": True}, REVOKED),
    ("facebook, as documented", BY_TOKEN, 200, b"true", REVOKED),
    ("facebook, no", BY_TOKEN, 200, {"success": False}, LATER),
    ("facebook, dead", BY_TOKEN, 400, {"error": {"type": "OAuthException", "code": 190}}, REVOKED),
    ("facebook, its own fault", BY_TOKEN, 400, {"error": {"type": "OAuthException", "code": 2}}, LATER),
    ("facebook, wrong", BY_TOKEN, 400, {"error": {"type": "OAuthException", "code": 100}}, REFUSED),
    ("slack", POSTED_BY_TOKEN, 200, {"ok": True, "revoked": True}, REVOKED),
    ("slack, only tested", POSTED_BY_TOKEN, 200, {"ok": True, "revoked": False}, LATER),
    ("slack, dead", POSTED_BY_TOKEN, 200, {"ok": False, "error": "token_revoked"}, REVOKED),
    ("slack, deserted", POSTED_BY_TOKEN, 200, {"ok": False, "error": "account_inactive"}, REVOKED),
    ("slack, too often", POSTED_BY_TOKEN, 200, {"ok": False, "error": "ratelimited"}, LATER),
    ("slack, not allowed", POSTED_BY_TOKEN, 200, {"ok": False, "error": "no_permission"}, REFUSED),
    ("zoho", RFC_7009, 200, {"status": "success"}, REVOKED),
    ("zoho, no", RFC_7009, 200, {"status": "failure"}, LATER),
    ("naver", RevocationWay(URL, RevocationMethod.GET), 200, {"access_token": "x", "result": "success"}, REVOKED),
    ("naver, secret changed", RevocationWay(URL, RevocationMethod.GET), 200, {"error": "unauthorized_client"}, LATER),
    ("canvas, dead", BY_TOKEN, 401, {"errors": [{"message": "Invalid access token."}]}, REVOKED),
    ("whoop", BY_TOKEN, 204, b"", REVOKED),
    ("whoop, without the scope", BY_TOKEN, 403, {"error": "insufficient_scope"}, REFUSED),
    ("a firewall", BY_TOKEN, 403, b"<html>", LATER),
    ("dropbox, dead", POSTED_BY_TOKEN, 401, {"error": {".tag": "invalid_access_token"}}, REVOKED),
    ("a client that is not known", POSTED_BY_TOKEN, 401, {"error": "invalid_client"}, LATER),
    ("no such address", POSTED_BY_TOKEN, 404, b"", LATER),
]


@pytest.mark.parametrize(("name", "way", "status", "body", "result"), OWN_WAYS, ids=[row[0] for row in OWN_WAYS])
def test_providers_with_ways_of_their_own_are_understood(
    name: str, way: RevocationWay, status: int, body: object, result: RevocationResult
) -> None:
    assert name
    assert read(way, status, body).result is result


@pytest.mark.parametrize(("status", "body"), [(401, b""), (404, b""), (400, {"error": {"code": 190}})])
def test_a_token_that_had_run_out_says_nothing_of_a_grant_that_outlives_it(status: int, body: object) -> None:
    assert read(BY_TOKEN, status, body, outlived=True).result is REFUSED
    assert read(BY_TOKEN, 204, outlived=True).result is REVOKED
    assert read(BY_TOKEN, 503, outlived=True).result is LATER


@pytest.mark.parametrize(
    ("status", "wait", "expected"),
    [
        (503, "120", timedelta(minutes=2)),
        (429, "Fri, 01 May 2026 00:10:00 GMT", timedelta(minutes=10)),
        (429, "86400", timedelta(hours=1)),
        (503, "soon", None),
    ],
)
def test_the_wait_that_a_provider_names_is_told(status: int, wait: str, expected: timedelta | None) -> None:
    assert read(RFC_7009, status, retry_after=wait) == RevocationVerdict(LATER, expected)
    assert read(RFC_7009, 200, retry_after=wait) == RevocationVerdict(REVOKED)
