"""What the answers of refresh hooks mean: of refreshers, and of callouts."""

import math
from dataclasses import replace
from datetime import timedelta

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.refresher import MaybeSpent, Misconfigured, RefresherSays, Refused, TryLater
from tokenkeep.domain.verdict import Misconfigured as ClientMisconfigured
from tokenkeep.domain.verdict import RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.error_codes import safe_code
from tokenkeep.providers.rules import OAuth2Rules

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


def standard_rules(rules: OAuth2Rules) -> OAuth2Rules:
    """The rules for an answer in the form of RFC 6749: where the provider puts things is of no account for it."""
    return replace(rules, access_token_path=None, answers=(), scope_separator=" ")


def _kept(code: object) -> str | None:
    return safe_code(code) if isinstance(code, str) else None


def _wait(seconds: object) -> timedelta | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT.total_seconds()))
