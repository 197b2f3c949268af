"""What the answers of refresh hooks mean: of refreshers, and of callouts."""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.refresher import MaybeSpent, Misconfigured, RefresherSays, Refused, TryLater
from tokenkeep.domain.verdict import Granted, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.domain.verdict import Misconfigured as ClientMisconfigured
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import read_body
from tokenkeep.providers.classify import classify, unavailable
from tokenkeep.providers.error_codes import safe_code
from tokenkeep.providers.rules import OAuth2Rules

_BUSY = 503
_LONGEST_WAIT = timedelta(days=1)


def verdict_of(said: RefresherSays) -> Verdict:
    """The verdict that a refresher's word stands for."""
    match said:
        case Refused(code=code):
            return Revoked(_kept(code) or "invalid_grant", None, None)
        case TryLater(retry_after=seconds):
            return RateLimited(_wait(seconds), None)
        case Misconfigured(code=code):
            return ClientMisconfigured(FailureReason.INVALID_CLIENT, _kept(code), None)
        case MaybeSpent():
            return Unavailable(FailureReason.NETWORK_ERROR, maybe_spent=True)
        case _:  # a class of somebody's own under ours: it says nothing that we know
            return Unavailable(FailureReason.INTERNAL_ERROR, maybe_spent=True)


def read_hook_answer(
    answer: Answer | NoAnswer,
    rules: OAuth2Rules,
    *,
    sent_at: datetime,
    now: datetime,
    fallback_lifetime: timedelta | None = None,
) -> Verdict:
    """What a hook's answer means, by its protocol and by nothing else; the arguments are those of `classify`.

    A token endpoint's words are read as they come, whatever the status. What stands before a receiver has words of its own,
    and they are about the caller's session, not about a grant. So a refusal counts only in the one form that the protocol
    has for it, and whatever has no form there is a doubt.
    """
    standard = replace(rules, access_token_path=None, answers=(), scope_separator=" ")
    verdict = classify(answer, standard, sent_at=sent_at, now=now, fallback_lifetime=fallback_lifetime)
    if isinstance(answer, NoAnswer) or isinstance(verdict, Granted):
        return verdict
    body = read_body(answer.body)
    error = body.fields.get("error")
    match answer.status, error:
        case 400, "invalid_grant":
            return Revoked("invalid_grant", None, answer.status)
        case 401, "invalid_client":
            return ClientMisconfigured(FailureReason.INVALID_CLIENT, "invalid_client", answer.status)
        case 429, _:
            return verdict
        case status, _:
            left_open = unavailable(answer, body, _kept(error), now=now)
            return left_open if status == _BUSY else replace(left_open, maybe_spent=True)


def _kept(code: object) -> str | None:
    return safe_code(code) if isinstance(code, str) else None


def _wait(seconds: object) -> timedelta | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT.total_seconds()))
