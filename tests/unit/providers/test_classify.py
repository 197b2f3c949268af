"""Single answers and their verdicts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.meaning import AnswerRule, Meaning
from tokenkeep.providers.rules import OAuth2Rules

SENT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NOW = SENT + timedelta(seconds=2)
RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/token")
CANARY = "rt-7f3a9c51e0d24b68"


def verdict_on(
    status: int, body: object = b"", *, rules: OAuth2Rules = RULES, headers: dict[str, str] | None = None
) -> Verdict:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return classify(Answer(status, headers or {}, raw), rules, sent_at=SENT, now=NOW)


def granted(body: object, rules: OAuth2Rules = RULES) -> Granted:
    verdict = verdict_on(200, body, rules=rules)
    assert isinstance(verdict, Granted)
    return verdict


def unavailable(status: int, body: object = b"", headers: dict[str, str] | None = None) -> Unavailable:
    verdict = verdict_on(status, body, headers=headers)
    assert isinstance(verdict, Unavailable)
    return verdict


def test_a_success_gives_every_field_normalised() -> None:
    tokens = granted(
        {
            "access_token": "at",
            "token_type": "bearer",
            "expires_in": "3600",
            "refresh_token": "rt",
            "scope": "a b,c a",
            "x_refresh_token_expires_in": 8640000,
        }
    ).tokens
    assert tokens.access_token == Secret("at")
    assert tokens.refresh_token == Secret("rt")
    assert tokens.token_type == "Bearer"
    assert tokens.scopes == ("a", "b", "c")
    assert tokens.expires_at == SENT + timedelta(hours=1)
    assert tokens.refresh_token_expires_at == SENT + timedelta(days=100)


def test_the_usual_life_of_a_refresh_token_counts_from_the_request_and_is_no_word_of_the_providers() -> None:
    rules = OAuth2Rules(RULES.token_url, RULES.refresh_url, refresh_token_ttl_s=86_400)
    new = granted({"access_token": "at", "refresh_token": "rt"}, rules).tokens
    assert (new.refresh_token_expires_at, new.refresh_end_derived) == (SENT + timedelta(days=1), True)
    told = granted({"access_token": "at", "refresh_token": "rt", "refresh_expires_in": 60}, rules).tokens
    assert (told.refresh_token_expires_at, told.refresh_end_derived) == (SENT + timedelta(minutes=1), False)
    kept = granted({"access_token": "at"}, rules).tokens
    assert (kept.refresh_token_expires_at, kept.refresh_end_derived) == (None, False)
    endless = granted({"access_token": "at", "refresh_token": "rt", "refresh_expires_in": 0}, rules).tokens
    assert (endless.refresh_token_expires_at, endless.refresh_endless) == (None, True)


@pytest.mark.parametrize("missing", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": " "}])
def test_a_success_without_a_refresh_token_keeps_the_former_one(missing: dict[str, Any]) -> None:
    assert granted({"access_token": "at", **missing}).tokens.refresh_token is None


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"access_token":"at"}',
        '{"access_token":"at"}'.encode("utf-16"),
        b"access_token=at&scope=&token_type=bearer",
        b'[{"access_token":"at"}]',
        b'{"accessToken":"at"}',
        b'{"ok":true,"authed_user":{"access_token":"at"}}',
        b'{"status":0,"body":{"access_token":"at"}}',
        b'{"data":[{"access_token":"at"}]}',
        b'{"access_token":"at","error":null}',
        b'{"access_token":"at","error":""}',
    ],
)
def test_a_token_is_found_however_it_is_wrapped(body: bytes) -> None:
    assert granted(body).tokens.access_token == Secret("at")


def test_a_wrapped_token_comes_with_what_lies_beside_it() -> None:
    tokens = granted(
        {
            "ok": True,
            "authed_user": {"access_token": "at", "token_type": "user", "refresh_token": "rt", "expires_in": 60},
        }
    ).tokens
    assert tokens.refresh_token == Secret("rt")
    assert tokens.token_type == "Bearer"
    assert tokens.expires_at == SENT + timedelta(minutes=1)


def test_an_entry_can_name_another_place_for_the_token() -> None:
    rules = OAuth2Rules(RULES.token_url, RULES.refresh_url, access_token_path="payload.token")
    assert granted({"payload": {"token": "at"}}, rules).tokens.access_token == Secret("at")
    assert granted({"payload": {"token": "at"}, "access_token": "another"}, rules).tokens.access_token == Secret("at")
    # An entry may be outdated: a rotated token in the usual place is not thrown away for it.
    assert granted({"access_token": "at"}, rules).tokens.access_token == Secret("at")


def test_scopes_are_read_from_lists_and_from_odd_separators() -> None:
    assert granted({"access_token": "at", "scopes": ["a", "b", 3]}).tokens.scopes == ("a", "b")
    assert granted({"access_token": "at", "scope": ""}).tokens.scopes is None
    rules = OAuth2Rules(RULES.token_url, RULES.refresh_url, scope_separator="|")
    assert granted({"access_token": "at", "scope": "a|b"}, rules).tokens.scopes == ("a", "b")


@pytest.mark.parametrize("token", ["", " ", None, 7, "a\nb", "é", "\ud800", {}, []])
def test_what_is_no_token_is_no_success(token: object) -> None:
    verdict = unavailable(200, {"access_token": token})
    assert verdict.reason is FailureReason.INSUFFICIENT_RESPONSE
    assert verdict.maybe_spent


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", FailureReason.MALFORMED_RESPONSE),
        (b'{"access_token":"at","refr', FailureReason.MALFORMED_RESPONSE),
        (b"<html>Sign in</html>", FailureReason.MALFORMED_RESPONSE),
        (b"OK", FailureReason.MALFORMED_RESPONSE),
        (b"{}", FailureReason.INSUFFICIENT_RESPONSE),
        (b'{"ok":false,"error":"internal_error"}', FailureReason.INSUFFICIENT_RESPONSE),
    ],
)
def test_a_success_without_a_token_leaves_the_refresh_token_in_doubt(body: bytes, reason: FailureReason) -> None:
    verdict = unavailable(200, body)
    assert (verdict.reason, verdict.maybe_spent) == (reason, True)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant"}, "invalid_grant"),
        (200, {"error": "bad_refresh_token"}, "bad_refresh_token"),
        (200, {"ok": False, "error": "token_expired"}, "token_expired"),
        (400, b"error=bad_refresh_token&error_description=expired", "bad_refresh_token"),
        (401, {"error": {"code": "refresh_token_reused", "message": "used"}}, "refresh_token_reused"),
        (400, {"status": "BAD_REFRESH_TOKEN"}, "bad_refresh_token"),
        (400, {"status": 400, "message": "Invalid refresh token"}, "invalid_refresh_token"),
        (400, {"error": "invalid grant"}, "invalid_grant"),
        (400, {"error": "invalid_request", "error_description": "The refresh token is invalid."}, "invalid_request"),
        (403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}, "unauthorized_client"),
        (401, b"oauth_problem=token_revoked", "token_revoked"),
        (400, {"error": "invalid_grant", "error_description": "missing or invalid refresh token"}, "invalid_grant"),
        (
            400,
            {"error": "invalid_grant", "message": "missing refresh token", "status": "BAD_REFRESH_TOKEN"},
            "invalid_grant",
        ),
    ],
)
def test_the_providers_word_that_the_grant_is_dead_revokes(status: int, body: object, code: str) -> None:
    assert verdict_on(status, body) == Revoked(code, None, status)


@pytest.mark.parametrize(
    "said",
    [
        "Session limit exceeded. Please log in again.",
        "Too many active sessions, the user must log in again",
        "Refresh token usage limit exceeded",
        "The refresh token has exceeded its usage limit",
    ],
)
def test_a_limit_by_which_a_grant_is_over_is_no_throttle(said: str) -> None:
    body = {"error": "invalid_grant", "error_description": said}
    assert verdict_on(400, body) == Revoked("invalid_grant", None, 400)


@pytest.mark.parametrize(
    "said",
    [
        "Connection pool limit exceeded, failed to find refresh token",
        "resource limit exceeded: refresh token could not be found",
        "memory limit exceeded, invalid refresh token",
        "Throughput limit exceeded, refresh token not found",
        "storage limit exceeded; refresh token not found",
        "cursor limit reached: unable to find refresh token",
    ],
)
def test_a_limit_of_the_servers_own_ends_no_grant(said: str) -> None:
    body = {"error": "invalid_grant", "error_description": said}
    assert isinstance(verdict_on(400, body), RateLimited)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"error": "invalid_grant", "error_subtype": "invalid_rapt"}, "invalid_rapt"),
        ({"error": "invalid_grant", "error_description": "AADSTS70002: x. AADSTS70008: expired."}, "AADSTS70008"),
        ({"error": "invalid_grant", "error_description": "no number", "error_codes": [700082]}, "AADSTS700082"),
        ({"error": {"type": "OAuthException", "code": 190, "error_subcode": 463}}, "463"),
    ],
)
def test_a_revocation_keeps_the_subtype_of_its_code(body: object, detail: str) -> None:
    verdict = verdict_on(400, body)
    assert isinstance(verdict, Revoked)
    assert verdict.detail == detail


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"error": "invalid_client"}, FailureReason.INVALID_CLIENT),
        (200, {"error": "incorrect_client_credentials"}, FailureReason.INVALID_CLIENT),
        (200, {"ok": False, "error": "bad_client_secret"}, FailureReason.INVALID_CLIENT),
        (400, {"error": "invalid_scope"}, FailureReason.INVALID_CLIENT),
        (401, {"error": "access_denied"}, FailureReason.INVALID_CLIENT),
        (
            400,
            {"error": "invalid_grant", "error_description": "Token is not linked to client"},
            FailureReason.INVALID_CLIENT,
        ),
        (400, {"error": "invalid_client: Invalid client_id or client_secret"}, FailureReason.INVALID_CLIENT),
        (308, b"", FailureReason.INVALID_CLIENT),
        (405, b"<html>405</html>", FailureReason.INVALID_CLIENT),
        (
            400,
            {"error": "invalid_request", "error_description": "Missing required parameter"},
            FailureReason.PROVIDER_4XX,
        ),
        (400, {"error": "invalid_grant", "error_description": "Refresh token is null"}, FailureReason.PROVIDER_4XX),
        (
            400,
            {"error": "invalid_grant", "error_description": "refresh_token parameter is missing"},
            FailureReason.PROVIDER_4XX,
        ),
        (400, {"error": "invalid_grant", "error_description": "missing refresh token"}, FailureReason.PROVIDER_4XX),
        (400, {"error": "invalid_request", "message": "missing or invalid refresh token"}, FailureReason.PROVIDER_4XX),
        (400, {"error": "invalid_grant", "error_description": "AADSTS9002313: Invalid"}, FailureReason.PROVIDER_4XX),
    ],
)
def test_a_fault_of_ours_is_never_the_accounts(status: int, body: object, reason: FailureReason) -> None:
    verdict = verdict_on(status, body)
    assert isinstance(verdict, Misconfigured)
    assert (verdict.reason, verdict.http_status) == (reason, status)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": "invalid_client"}),
        (429, {"error": "invalid_grant"}),
        (429, b"<html>"),
        (400, {"__type": "TooManyRequestsException", "message": "Rate exceeded"}),
        (400, {"error": "slow_down"}),
        (400, {"error": "Access Denied", "error_description": "You have made too many requests continuously."}),
        (400, {"error": "invalid_grant", "error_description": "Refresh token rate limit exceeded"}),
        (400, {"error": "invalid_grant", "error_description": "Too many requests. Please sign in again later."}),
        (400, {"error": "invalid_grant", "error_description": "Limit exceeded"}),
        (403, b"<html>your network may be sending automated queries</html>"),
        (500, {"fault": {"faultstring": "Rate limit quota violation"}}),
        (200, {"status": 601, "body": {}}),
    ],
)
def test_a_throttle_is_heard_in_every_form(status: int, body: object) -> None:
    assert isinstance(verdict_on(status, body), RateLimited)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": "invalid_grant"}),
        (503, {"error": "invalid_grant"}),
        (502, {"error": "invalid_client"}),
        (403, b"<html>invalid_grant</html>"),
        (400, b"<html>invalid refresh token</html>"),
        (401, b""),
        (404, b""),
        (302, {"error": "invalid_grant"}),
        (400, {"error": "invalid_grant", "error_description": "token request is already being processed"}),
        (400, {"error": "invalid_grant", "error_description": "Stale token"}),
        (400, {"error": "temporarily_unavailable"}),
        (401, {"error": "invalid_token", "error_description": "The access token is expired, revoked or malformed"}),
        (404, {"message": "User not found"}),
    ],
)
def test_pages_outages_and_unsure_words_never_revoke(status: int, body: object) -> None:
    assert isinstance(verdict_on(status, body), Unavailable)


@pytest.mark.parametrize(
    ("status", "body", "headers", "spent"),
    [
        (400, {"error": "invalid_request"}, {}, False),
        (403, b"<html>firewall</html>", {}, False),
        (408, b"", {}, False),
        (302, b"", {"location": "/login"}, True),
        (500, {"error": "server_error"}, {}, True),
        (502, b"<html>Bad Gateway</html>", {}, True),
        (504, b"", {}, True),
        (503, {"error": "temporarily_unavailable"}, {}, False),
        (503, b"", {"retry-after": "5"}, False),
        (503, b"", {}, True),
        (503, b"<html>Backend fetch failed</html>", {"retry-after": "5"}, True),
        (503, b"upstream connect error or disconnect/reset before headers", {}, True),
        (503, {"message": "Service Unavailable"}, {}, True),
        (503, {"status": 503, "error": "Service Unavailable"}, {}, True),
    ],
)
def test_only_a_complete_refusal_leaves_the_refresh_token_untouched(
    status: int, body: object, headers: dict[str, str], *, spent: bool
) -> None:
    assert unavailable(status, body, headers).maybe_spent is spent


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ok": False, "error": "ekm_access_denied"}, "ekm_access_denied"),
        ({"ok": False, "error": "team_access_not_granted"}, "team_access_not_granted"),
        ({"ok": False, "error": "enterprise_is_restricted"}, "enterprise_is_restricted"),
        ({"ok": False, "error": "missing_scope", "needed": "x"}, "missing_scope"),
        ({"error": "unverified_user_email", "error_description": "The user must verify"}, "unverified_user_email"),
        (b"error=unverified_user_email&error_description=The+user+must+verify", "unverified_user_email"),
        ({"error": {"code": "org_policy", "message": "Not here"}}, "org_policy"),
    ],
)
def test_a_success_that_refuses_by_a_code_leaves_the_refresh_token_untouched(body: object, code: str) -> None:
    assert unavailable(200, body) == Unavailable(
        FailureReason.INSUFFICIENT_RESPONSE, maybe_spent=False, http_status=200, code=code
    )


MACHINES_WORDS = (
    "econnreset", "eof", "epipe", "network_error", "no_response", "null_response", "deadline_exceeded", "aborted", "cancelled",
    "interrupted", "processing", "pending", "write_failed", "token_not_saved", "grant_rollback", "partial_failure", "unknown",
    "e500", "app_crashed", "authorization_timeout", "account_service_down",
)  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"ok": False},
        {"ok": False, "error": ""},
        {"ok": False, "error": "none"},
        {"ok": False, "error": "fatal_error"},
        {"ok": False, "error": "partial_failure", "access_token": "at"},
        {"ok": False, "error": "partial_failure", "data": {"refresh_token": "rt"}},
        {"ok": False, "error": "partial_failure", "message": "An unexpected database failure"},
        {"error": "We could not do it"},
        {"error": "504"},
        {"error": {"code": 504}},
        {"message": "upstream_gone"},
        *({"error": word} for word in MACHINES_WORDS),
        b'{"ok":false,"error":"ekm_acc',
    ],
)
def test_a_success_that_names_no_refusal_leaves_the_refresh_token_in_doubt(body: object) -> None:
    assert unavailable(200, body).maybe_spent


def test_no_answer_is_in_doubt_only_if_something_had_left() -> None:
    lost = NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail="read")
    unsent = NoAnswer(FailureReason.NETWORK_ERROR, maybe_sent=False, detail="refused")
    assert classify(lost, RULES, sent_at=SENT, now=NOW) == Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
    assert classify(unsent, RULES, sent_at=SENT, now=NOW) == NotSent(FailureReason.NETWORK_ERROR)


def test_an_entrys_own_rule_goes_before_the_general_ones() -> None:
    rule = AnswerRule(Meaning.TRANSIENT, code="invalid_grant", text="expired authorization code")
    rules = OAuth2Rules(RULES.token_url, RULES.refresh_url, answers=(rule,))
    body = {"error": "invalid_grant", "error_description": "expired authorization code"}
    assert isinstance(verdict_on(400, body, rules=rules), Unavailable)
    assert isinstance(verdict_on(400, body), Revoked)
    assert isinstance(verdict_on(400, {"error": "invalid_grant"}, rules=rules), Revoked)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_grant", "error_description": f"Invalid refresh token: {CANARY}"},
        {"error": CANARY, "error_description": "The refresh token is invalid."},
        {"error": "invalid_grant", "error_subtype": CANARY},
        {"error": f"invalid_grant: {CANARY}"},
        {"error": "temporarily_unavailable", "error_description": CANARY},
        {"errors": [{"errorType": "invalid_grant", "message": f"Refresh token invalid: {CANARY}"}]},
        {"status": CANARY, "code": CANARY, "message": "try again later"},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 500, 503])
def test_no_verdict_repeats_a_secret_that_the_answer_quotes(status: int, body: object) -> None:
    assert CANARY not in repr(verdict_on(status, body))


def test_hubspots_word_for_a_dead_refresh_token_counts_beside_the_standards() -> None:
    told = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
    rules = replace(RULES, answers=load_catalogue().get("hubspot").answers)
    assert isinstance(verdict_on(400, told, rules=rules), Revoked)
    beside = {"error": "invalid_grant", "error_description": told["message"], **told}
    assert verdict_on(400, beside, rules=rules) == Revoked("invalid_grant", None, 400)
    of_another = {"error": "invalid_grant", "error_description": "issued to another client", "status": told["status"]}
    assert isinstance(verdict_on(400, of_another, rules=rules), Misconfigured)
