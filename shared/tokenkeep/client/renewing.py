"""A token that a provider refused, and a newer one in its place: decisions, without input and output."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from tokenkeep.client.answers.accounts import Account
from tokenkeep.client.answers.token import Token
from tokenkeep.client.api_wire import Reply
from tokenkeep.client.asking import Ask, Patience, asked
from tokenkeep.client.calls import reading
from tokenkeep.client.effects import Call, Effect, Pause
from tokenkeep.client.errors import ApiProblem, SourcePaused, TokenUnavailable, Unreachable
from tokenkeep.client.event_calls import PATH
from tokenkeep.client.reports import unauthorized
from tokenkeep.client.token_shelf import Renewal, Vended, Wish, is_same

_LOOKS = 5
_FIRST_LOOK_S = 0.1
_LEAST_S = 1.0


def renewed(
    wish: Wish, refused: Token, *, patience: Patience, clock: Callable[[], float]
) -> Generator[Effect, Any, Renewal]:
    """A token that is another one than the provider refused, if one can be had in time.

    The refusal is reported first, by the token's fingerprint, so that however many processes meet it the account is refreshed
    once. A report has its effect a moment later. If the token is still the same then, one is asked for that is newer than the
    request; an account that can't be refreshed says so by giving the same again.

    Raises:
        AccountDisabled: There will be none.
    """
    until = clock() + patience.timeout
    try:
        is_reported = yield from reported(wish.account_id, refused, patience, clock)
        for look in range(_LOOKS):
            vended = yield from _vended(wish, patience, until, clock)
            if vended is None:
                return Renewal(None, is_settled=False)
            if not is_same(vended.token, refused):
                return Renewal(vended, is_settled=True)
            if refused.expires_at is None or not is_reported:
                break
            yield Pause(max(0.0, min(_FIRST_LOOK_S * 2.0**look, until - clock())))
        if refused.expires_at is None:
            return Renewal(None, is_settled=True)  # what does not expire is not refreshed either
        vended = yield from _vended(wish.forced(until - clock()), patience, until, clock)
    except (TokenUnavailable, SourcePaused):
        return Renewal(None, is_settled=True)
    except Unreachable:
        return Renewal(None, is_settled=False)
    is_newer = vended is not None and not is_same(vended.token, refused)
    return Renewal(vended if is_newer else None, is_settled=vended is not None)


def reported(
    account_id: str, refused: Token, patience: Patience, clock: Callable[[], float]
) -> Generator[Effect, Any, bool]:
    """Tell that a provider refused an account's credentials; whether that was taken.

    A key without `events:write` can't tell, and nor can anybody of a password.
    """
    until = clock() + patience.timeout
    try:
        secret = refused.access_token or (yield from _key_of(account_id, patience, clock))
        left = until - clock()
        if secret is None or left <= 0:
            return False
        call = Call("POST", PATH, body=[unauthorized(account_id, secret).cloudevent()])
        ask = Ask(call, _was_taken, repeatable=True)
        return (yield from asked(ask, replace(patience, timeout=left), clock))
    except (ApiProblem, Unreachable):
        return False


def _key_of(account_id: str, patience: Patience, clock: Callable[[], float]) -> Generator[Effect, Any, str | None]:
    """An API key, or the token of OAuth 1.0a, which are no part of what is handed out for requests."""
    ask = reading(Account, f"/v1/accounts/{account_id}", include_credentials="1")
    credentials = (yield from asked(ask, patience, clock)).credentials or {}
    return credentials.get("api_key") or credentials.get("oauth_token")


def _was_taken(reply: Reply) -> bool:
    return all(one.get("status") != "rejected" for one in reply.document()["data"])


def _vended(
    wish: Wish, patience: Patience, until: float, clock: Callable[[], float]
) -> Generator[Effect, Any, Vended | None]:
    left = until - clock()
    if left < _LEAST_S:
        return None
    within = replace(wish, wait=max(0.0, min(wish.wait, left - _LEAST_S)))
    ask = replace(within.ask(), needs=0.0)
    return (yield from asked(ask, replace(patience, timeout=left), clock))
