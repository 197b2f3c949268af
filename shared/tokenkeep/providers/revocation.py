"""What the answer to a revocation means: RFC 7009, section 2.2, and what providers with ways of their own say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import Body, read_body
from tokenkeep.providers.revocation_way import RevocationMethod, RevocationWay
from tokenkeep.providers.waits import asked_wait

_ABOUT_THE_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "access_denied"})
_DEAD: Final = frozenset(
    {
        "190", "account_inactive", "expired_access_token", "expired_token", "invalid_access_token", "invalid_auth",
        "invalid_grant", "invalid_refresh_token", "invalid_token", "token_expired", "token_inactive", "token_not_found",
        "token_revoked", "unknown_token",
    }
)  # fmt: skip
"""Codes for a token that is worth nothing; 190 is Facebook's, `account_inactive` and `invalid_auth` are Slack's."""

_PASSING: Final = frozenset(
    {
        "1", "17", "2", "4", "fatal_error", "internal_error", "rate_limited", "ratelimited", "request_timeout",
        "server_error", "service_unavailable", "slow_down", "temporarily_unavailable",
    }
)  # fmt: skip
"""Codes of errors that pass; the numbers are Facebook's, for its own faults and for too many calls."""

_DEAD_IN_WORDS: Final = re.compile(
    r"\b(?:invalid|expired|revoked|unknown) (?:oauth )?(?:access |refresh |bearer )?token\b(?! type)"
    r"|\btoken (?:is |was |has been |has |does )?(?:already )?(?:invalid|expired|revoked|not found|not exist)"
)
_CODES: Final = ("code", "error_code", "errorCode")
_NO: Final = ("ok", "success", "revoked", "did_revoke")
_FAILED: Final = frozenset({"error", "fail", "failed", "failure"})
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403
_GONE: Final = frozenset({404, 410})


class RevocationResult(StrEnum):
    """`refused`: the provider will not do it however often it is asked. `later`: it may, another time."""

    REVOKED = "revoked"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class RevocationVerdict:
    """The result, and for how long the provider wants to be left alone where it said so."""

    result: RevocationResult
    retry_after: timedelta | None = None


_LATER: Final = RevocationVerdict(RevocationResult.LATER)


def read_revocation(
    answer: Answer | NoAnswer, way: RevocationWay, *, now: datetime, outlived: bool = False
) -> RevocationVerdict:
    """What has become of the grant.

    A token that the provider does not know any more counts as revoked: that is what was wanted. A refusal of the client says
    nothing about the token, and someone may mend the client. A 503 means that the token must be taken to be alive. Only a
    word about the request, or about what the token may do, ends the matter.

    Args:
        answer: What came, whatever it is.
        way: How the provider was asked.
        now: The moment, for a wait that is told as a date.
        outlived: The request was made with an access token whose time was over, while the grant may live on by a refresh
            token: that such a token is dead says nothing, and it will not come back to life.
    """
    if isinstance(answer, NoAnswer):
        return _LATER
    body = read_body(answer.body)
    codes = frozenset(_codes(body.fields))
    if 200 <= answer.status < 300 and not _says_no(body.fields):  # noqa: PLR2004 - RFC 9110, section 15.3
        return RevocationVerdict(RevocationResult.REVOKED)
    if _is_dead(answer.status, body, codes, way):
        return RevocationVerdict(RevocationResult.REFUSED if outlived else RevocationResult.REVOKED)
    if _is_final(answer.status, codes, way):
        return RevocationVerdict(RevocationResult.REFUSED)
    return RevocationVerdict(RevocationResult.LATER, asked_wait(answer.headers, body, now=now))


def _is_dead(status: int, body: Body, codes: frozenset[str], way: RevocationWay) -> bool:
    """Whether the provider says that what was to be revoked is not there."""
    if status in _GONE:
        # To a POST it says that there is no such address; a DELETE names the thing itself.
        return way.method is RevocationMethod.DELETE
    if codes & _ABOUT_THE_CLIENT:
        return False
    if status == _UNAUTHORIZED:
        # Whoever shows nothing but the token is refused for the token's sake; else it is the client that is not known.
        return way.says_token
    if status != _BAD_REQUEST and status >= 300:  # noqa: PLR2004 - a 2xx whose body says no is read like a 400
        return False
    return bool(codes & _DEAD) or _DEAD_IN_WORDS.search(body.text) is not None


def _is_final(status: int, codes: frozenset[str], way: RevocationWay) -> bool:
    """Whether the provider would say the same another time."""
    if status == _FORBIDDEN:
        return way.says_token and bool(codes & {"insufficient_scope", "missing_scope"})
    is_refusal = status == _BAD_REQUEST or status < 300  # noqa: PLR2004 - as above
    return is_refusal and bool(codes) and not codes & (_ABOUT_THE_CLIENT | _PASSING)


def _says_no(fields: Mapping[str, Any]) -> bool:
    """Whether a body of success denies it: `{"ok": false}`, `{"error": …}`, `{"status": "failure"}`."""
    if any(fields.get(name) is False for name in _NO):
        return True
    status = fields.get("status")
    failed = isinstance(status, str) and status.lower() in _FAILED
    return failed or bool(fields.get("error"))


def _codes(fields: Mapping[str, Any]) -> Iterator[str]:
    """The codes that the body names, in lower case. A sentence is no code, and neither is a status told again."""
    nested = fields.get("error")
    inner = nested if isinstance(nested, Mapping) else {}
    for value in (nested, *(fields.get(name) for name in _CODES), *(inner.get(name) for name in _CODES)):
        if isinstance(value, str) and value and " " not in value:
            yield value.lower()
    code = inner.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        yield str(code)
