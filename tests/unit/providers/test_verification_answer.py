"""What answers to the verifying request say."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.account import AuthType, FailureReason
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.verification import Confirmed, Finding, Rejected, Unknown, UnknownReason
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.entry import Verification
from tokenkeep.providers.verification_answer import Question, read_verification

KIND = "https://acme.test/me user.id"
BY_ID = Question(Verification("https://acme.test/me", external_id="user.id"), AuthType.OAUTH2, {})
PLAIN = replace(BY_ID, verification=Verification("https://acme.test/me"))
ASSUMED = replace(BY_ID, verification=replace(BY_ID.verification, assumed=True))
KEY = replace(BY_ID, kind=AuthType.API_KEY)
INVALID_TOKEN = {"www-authenticate": 'Bearer realm="x", error="invalid_token"'}


def finding(status: int, document: object, question: Question = BY_ID, **headers: str) -> Finding:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_verification(Answer(status, named, body), question)


def test_the_id_of_the_accounts_kind_is_told_besides_where_the_path_was_changed() -> None:
    body = {"user": {"id": 7}, "sub": "s", "more": {"id": None}}
    for path, other in (("sub", ExternalId("s", "https://acme.test/me sub")), ("more.id", None), ("user.id", None)):
        known = ExternalId("x", f"https://acme.test/me {path}")
        assert finding(200, body, replace(BY_ID, known=known)) == Confirmed("7", KIND, other)


def test_a_success_tells_whose_the_credentials_are() -> None:
    assert finding(200, {"user": {"id": 7}}) == Confirmed("7", KIND)
    assert finding(200, {"user": {"id": "u"}, "error": None, "errors": [], "ok": True}) == Confirmed("u", KIND)
    assert finding(200, {"user": {"id": "u"}, "error": {"code": "ok", "message": ""}}) == Confirmed("u", KIND)
    assert finding(200, {"user": {"id": "u"}, "code": 0, "message": "OK"}) == Confirmed("u", KIND)
    assert finding(200, {"anything": 1}, PLAIN) == Confirmed(None)
    assert finding(204, b"", PLAIN) == Confirmed(None)
    assert finding(200, {"user": {"id": {}}}) == Confirmed(None)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"ok": False, "error": "invalid_auth"}, "invalid_auth"),
        ({"ok": False, "error": "token_revoked"}, "token_revoked"),
        ({"success": False, "error": "invalid_token"}, "invalid_token"),
        ({"data": None, "errors": [{"message": "Invalid access token"}]}, "invalid_token"),
        ({"user": {"id": None, "name": "Anonymous user", "email": "invalid@example.com"}}, "anonymous_user"),
        ({"code": 40105, "message": "Access token is incorrect or has been revoked."}, "invalid_token"),
    ],
)
def test_a_success_by_its_status_may_say_that_the_credentials_are_bad(document: object, code: str) -> None:
    assert finding(200, document) == Rejected(code, 200)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"ok": False, "error": "ratelimited"}, UnknownReason.RATE_LIMITED),
        ({"ok": False, "error": "missing_scope"}, UnknownReason.INSUFFICIENT_SCOPE),
        ({"ok": False, "error": "team_is_busy_reading"}, UnknownReason.INSUFFICIENT_RESPONSE),
        ({"success": False}, UnknownReason.INSUFFICIENT_RESPONSE),
        (
            {"errors": [{"message": "Cannot query field"}], "data": {"user": {"id": 1}}},
            UnknownReason.INSUFFICIENT_RESPONSE,
        ),
        ({"user": {"id": None}}, UnknownReason.INSUFFICIENT_RESPONSE),
        ({"something": "else"}, UnknownReason.INSUFFICIENT_RESPONSE),
        ([], UnknownReason.INSUFFICIENT_RESPONSE),
        (b"", UnknownReason.INSUFFICIENT_RESPONSE),
        (b"OK", UnknownReason.MALFORMED_RESPONSE),
        (b'{"user": {"id"', UnknownReason.MALFORMED_RESPONSE),
        (b"<!doctype html><title>Sign in</title>", UnknownReason.MALFORMED_RESPONSE),
    ],
)
def test_a_success_that_does_not_look_like_one_confirms_nothing(document: object, reason: UnknownReason) -> None:
    assert finding(200, document) == Unknown(reason)


@pytest.mark.parametrize(
    ("status", "document", "headers", "code"),
    [
        (401, {"message": "Bad credentials"}, {}, "invalid_token"),
        (
            401,
            {"error": {"code": 401, "message": "Request had invalid authentication credentials."}},
            {},
            "invalid_token",
        ),
        (401, {"status": 401, "message": "invalid access token"}, {}, "invalid_token"),
        (401, b"", {}, "unauthorized"),
        (401, {"error": "unauthorized"}, {}, "unauthorized"),
        (401, b"", INVALID_TOKEN, "invalid_token"),
        (401, b"<html><body>no</body></html>", INVALID_TOKEN, "invalid_token"),
        (403, {"error": "invalid_token"}, {}, "invalid_token"),
        (403, {"message": "The access token has expired"}, {}, "invalid_token"),
        (
            400,
            {"error": {"type": "OAuthException", "code": 190, "fbtrace_id": "x", "message": "m"}},
            {},
            "OAuthException",
        ),
        (404, {"category": "EXPIRED", "message": "Token is expired"}, {}, "invalid_token"),
    ],
)
def test_the_providers_word_rejects(status: int, document: Any, headers: dict[str, str], code: str) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    assert read_verification(Answer(status, headers, body), BY_ID) == Rejected(code, status)


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (429, {"error": "invalid_token"}, UnknownReason.RATE_LIMITED),
        (500, {"error": "invalid_token"}, UnknownReason.PROVIDER_5XX),
        (503, b"", UnknownReason.PROVIDER_5XX),
        (302, b"", UnknownReason.MALFORMED_RESPONSE),
        (100, b"", UnknownReason.MALFORMED_RESPONSE),
        (401, b"<html><body>Proxy authentication</body></html>", UnknownReason.PROVIDER_4XX),
        (401, {"error": "Invalid API key"}, UnknownReason.CLIENT_REFUSED),
        (401, {"error": "insufficient_scope"}, UnknownReason.INSUFFICIENT_SCOPE),
        (401, {"message": "Rate limit exceeded"}, UnknownReason.RATE_LIMITED),
        (403, {"message": "Missing Authentication Token"}, UnknownReason.CLIENT_REFUSED),
        (403, {"message": "CSRF token invalid"}, UnknownReason.CLIENT_REFUSED),
        (403, {"message": "You do not have permission"}, UnknownReason.INSUFFICIENT_SCOPE),
        (403, b"", UnknownReason.PROVIDER_4XX),
        (404, {"message": "Not Found"}, UnknownReason.PROVIDER_4XX),
        (408, {"error": "invalid_token"}, UnknownReason.PROVIDER_4XX),
        (400, {"error": {"type": "OAuthException", "code": 4, "fbtrace_id": "x"}}, UnknownReason.RATE_LIMITED),
    ],
)
def test_what_is_somebody_elses_fault_is_no_word_on_the_credentials(
    status: int, document: object, reason: UnknownReason
) -> None:
    assert finding(status, document) == Unknown(reason)


def test_a_bot_wall_says_nothing() -> None:
    assert finding(403, {"message": "invalid token"}, cf_mitigated="challenge") == Unknown(UnknownReason.PROVIDER_4XX)


def test_a_request_that_nobody_has_shown_to_be_right_is_refused_in_words_only() -> None:
    assert finding(401, b"", ASSUMED) == Unknown(UnknownReason.REJECTED_UNPROVEN)
    assert finding(401, {"error": "unauthorized"}, ASSUMED) == Unknown(UnknownReason.REJECTED_UNPROVEN)
    assert finding(401, {"error": "invalid_token"}, ASSUMED) == Rejected("invalid_token", 401)


def test_an_api_key_is_the_accounts_own() -> None:
    assert finding(401, {"error": "Invalid API key"}, KEY) == Rejected("invalid_api_key", 401)


def test_no_answer_says_nothing() -> None:
    reasons = {
        FailureReason.NETWORK_ERROR: UnknownReason.NETWORK_ERROR,
        FailureReason.TIMEOUT: UnknownReason.TIMEOUT,
        FailureReason.MALFORMED_RESPONSE: UnknownReason.MALFORMED_RESPONSE,
        FailureReason.INTERNAL_ERROR: UnknownReason.INTERNAL_ERROR,
    }
    for failure, reason in reasons.items():
        assert read_verification(NoAnswer(failure, maybe_sent=True, detail="d"), BY_ID) == Unknown(reason)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["invalid_token", "ok"])
)
NAMES = st.sampled_from(["user", "id", "error", "errors", "code", "message", "ok", "status", "data", "name"])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


@given(status=st.sampled_from([200, 400, 401, 403]), value=JSON)
def test_any_json_has_a_finding(status: int, value: object) -> None:
    said = finding(status, value)
    assert isinstance(said, Confirmed | Rejected | Unknown)
    if isinstance(said, Confirmed):
        assert status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"error":{"code":' * 400 + b"1" + b"}}" * 400,
        b'{"user":{"id":' + b"9" * 5_000 + b"}}",
        b'{"message":"' + b"access token " * 70_000 + b'"}',
        b'{"user":{"id":1e999}}',
        b"\xff" * 1_000_000,
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
@pytest.mark.parametrize("status", [200, 401])
def test_deep_long_and_huge_bodies_have_a_finding(status: int, body: bytes) -> None:
    assert isinstance(finding(status, body), Confirmed | Rejected | Unknown)
