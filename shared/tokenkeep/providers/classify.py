"""What a token endpoint's answer means for the account: from bytes to a verdict, without ever raising."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.verdict import (
    Granted,
    Misconfigured,
    NotSent,
    RateLimited,
    Revoked,
    Unavailable,
    Verdict,
)
from tokenkeep.providers import wording
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import Body, Shape, read_body
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.error_codes import safe_code
from tokenkeep.providers.lifetimes import KnownLife
from tokenkeep.providers.meaning import Meaning, Reading
from tokenkeep.providers.reading import is_no_error, read_answer
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_set import holds_a_token, read_token_set
from tokenkeep.providers.waits import asked_wait, window_reset

_UNAVAILABLE = 503
_OF_THE_REQUEST = re.compile(
    r"token|code|client|grant|app(?!ly)|auth|scope|account|user|email|team|enterprise|org|tenant|access|permission|denied|restricted|forbidden|polic|licen[cs]e"
)
_OF_MACHINES = re.compile(
    r"conn|network|reset|eof|pipe|response|abort|cancel|interrupt|deadline|time_?d?_?out|process|pending|partial|writ|sav|stor"
    r"|rollback|roll_back|fail|crash|down\b|gone|unknown|undefined|null|internal|service|server|gateway|upstream|[45]\d\d"
)


def classify(
    answer: Answer | NoAnswer,
    rules: OAuth2Rules,
    *,
    sent_at: datetime,
    now: datetime,
    fallback_lifetime: timedelta | None = None,
) -> Verdict:
    """The verdict on a request that left at `sent_at`. Total: no bytes, status or headers make it raise.

    Only codes leave it, in a form that holds no secret; descriptions are read and dropped, for some quote the token.

    Args:
        answer: What came back, or that nothing did.
        rules: The source's rules.
        sent_at: When the request left; lives are counted from then.
        now: When the answer was had; a Retry-After date is counted from then.
        fallback_lifetime: The access token's last known life, for answers that tell none.
    """
    if isinstance(answer, NoAnswer):
        if not answer.maybe_sent:
            return NotSent(answer.reason)
        return Unavailable(answer.reason, maybe_spent=True)
    body = read_body(answer.body)
    reading = read_answer(answer, body, token_path=rules.access_token_path, rules=rules.answers)
    return _verdict(reading, answer, body, rules, sent_at=sent_at, now=now, fallback_lifetime=fallback_lifetime)


def _verdict(
    reading: Reading,
    answer: Answer,
    body: Body,
    rules: OAuth2Rules,
    *,
    sent_at: datetime,
    now: datetime,
    fallback_lifetime: timedelta | None,
) -> Verdict:
    status, code = answer.status, safe_code(reading.code)
    match reading.meaning:
        case Meaning.OK:
            known = KnownLife(_span(rules.access_token_ttl_s), fallback_lifetime, _span(rules.refresh_token_ttl_s))
            tokens = read_token_set(
                body.fields,
                token_path=rules.access_token_path,
                scope_separator=rules.scope_separator,
                sent_at=sent_at,
                known=known,
            )
            if tokens is None:
                return Unavailable(FailureReason.INSUFFICIENT_RESPONSE, maybe_spent=True, http_status=status)
            return Granted(_as_presented(tokens, rules.presented), status)
        case Meaning.REVOKED:
            return Revoked(code or "invalid_grant", safe_code(reading.subtype), status)
        case Meaning.CLIENT_MISCONFIGURED:
            return Misconfigured(FailureReason.INVALID_CLIENT, code, status)
        case Meaning.INVALID_REQUEST:
            return Misconfigured(FailureReason.PROVIDER_4XX, code, status)
        case Meaning.RATE_LIMITED:
            wait = asked_wait(answer.headers, body, now=now)
            return RateLimited(window_reset(answer.headers, now=now) if wait is None else wait, status)
        case Meaning.UNCLEAR if _is_whole_refusal(answer, body, rules):
            return replace(unavailable(answer, body, code, now=now), maybe_spent=False)
        case Meaning.TRANSIENT | Meaning.UNCLEAR:
            return unavailable(answer, body, code, now=now)
        case _:
            assert_never(reading.meaning)


def unavailable(answer: Answer, body: Body, code: str | None, *, now: datetime) -> Unavailable:
    """The verdict on an answer that says nothing about the grant."""
    return Unavailable(
        _reason(answer.status, body),
        maybe_spent=_maybe_spent(answer, body),
        http_status=answer.status,
        code=code,
        retry_after=asked_wait(answer.headers, body, now=now),
    )


def _as_presented(tokens: TokenSet, presented: Presented) -> TokenSet:
    """The token set, its refresh token being whatever the next refresh presents."""
    match presented:
        case Presented.REFRESH_TOKEN:
            return tokens
        case Presented.ACCESS_TOKEN:
            return replace(tokens, refresh_token=tokens.access_token)
        case Presented.MACHINE_CREDENTIALS:
            # Some give one all the same (RFC 6749, section 4.4.3, advises against it). What the machine has outlives it.
            return replace(
                tokens,
                refresh_token=None,
                refresh_token_expires_at=None,
                refresh_end_derived=False,
                refresh_endless=True,
            )
        case _:
            assert_never(presented)


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _maybe_spent(answer: Answer, body: Body) -> bool:
    """Whether the refresh token may be used up (custody protocol, section 4).

    A complete 4xx is a refusal, and so is a 503 that the provider itself wrote. A success without a token, a redirect
    and every other server error leave it open; but see `_is_whole_refusal`.
    """
    if answer.status == _UNAVAILABLE:
        return not _wrote_it_itself(answer, body)
    return not 400 <= answer.status < 500  # noqa: PLR2004 - RFC 9110, section 15.5


def _wrote_it_itself(answer: Answer, body: Body) -> bool:
    """Whether a 503 is the authorization server's own.

    Proxies that lost the server half-way send pages, sentences and bare messages; a server that refuses work names an
    OAuth error, or asks in an otherwise empty answer to be tried again later.
    """
    error = body.fields.get("error")
    if isinstance(error, str):
        return _is_code(error)
    return body.shape is Shape.EMPTY and "retry-after" in answer.headers


def _is_whole_refusal(answer: Answer, body: Body, rules: OAuth2Rules) -> bool:
    """Whether a 2xx that was had to its end refuses, by a code of the provider's own that nobody has explained to us.

    Who says no with 200 (Slack, GitHub) has not rotated either. The code must speak of what was asked or of who may ask, for
    others wrap a server's 5xx, or an answer that a gateway lost, in 200 and a word. And nothing beside it may look as if the
    request had been carried out: a token, or words of trouble.
    """
    if not 200 <= answer.status < 300 or body.shape is not Shape.FIELDS:  # noqa: PLR2004 - RFC 9110, section 15.3
        return False
    error = body.fields.get("error")
    named = (error.get("code"), error.get("type")) if isinstance(error, dict) else (error,)
    if not any(isinstance(code, str) and _is_refusal(code) for code in named):
        return False
    return not holds_a_token(body.fields, rules.access_token_path) and not wording.is_in_trouble(body.text)


def _is_refusal(text: str) -> bool:
    return (
        _is_code(text)
        and _OF_THE_REQUEST.search(text.lower()) is not None
        and not _OF_MACHINES.search(text.lower())
        and not is_no_error(text)
    )


def _is_code(text: str) -> bool:
    return " " not in text and safe_code(text) is not None


def _reason(status: int, body: Body) -> FailureReason:
    if 400 <= status < 500:  # noqa: PLR2004 - RFC 9110, section 15.5
        return FailureReason.PROVIDER_4XX
    if status >= 500:  # noqa: PLR2004 - RFC 9110, section 15.6
        return FailureReason.PROVIDER_5XX
    if body.shape is Shape.FIELDS and 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
        return FailureReason.INSUFFICIENT_RESPONSE
    return FailureReason.MALFORMED_RESPONSE
