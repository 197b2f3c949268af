"""What an OAuth 1.0a server answers to a request for a token (RFC 5849, sections 2.1 and 2.3), without ever raising."""

import re
from dataclasses import dataclass
from typing import Any, Final

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import Body, Shape, read_body
from tokenkeep.providers.discretion import without_secret
from tokenkeep.providers.error_codes import codes_of, safe_code
from tokenkeep.providers.reading import is_bot_wall

_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_INTERNAL: Final = 500
_COME_AGAIN = frozenset({408, 409, 421, 425})
_LONGEST_TOKEN = 4_096
_TOKEN = re.compile(r"[\x21-\x7e]+")
_TOKEN_SECRET = re.compile(r"[\x20-\x7e]*")
_LIFE = re.compile(r"[1-9][0-9]{0,8}")
# The Problem Reporting extension puts its code into the body, into the challenge, or into both.
_CHALLENGE = re.compile(r"\boauth_problem=\"?([A-Za-z_]{1,64})")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A token and its secret. `confirms_callback`: the server will send the user nowhere but to the callback that it was told.

    `expires_in_s` is there where a server says it, as those with the Session extension do.
    """

    token: Secret
    secret: Secret
    confirms_callback: bool = False
    expires_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not give one. `code` is its own, where it may be shown, else the status."""

    code: str


@dataclass(frozen=True, slots=True)
class NotHad:
    """Nothing is known. `maybe_used`: what was sent may count as used up there."""

    reason: FailureReason
    maybe_used: bool


def read_token_pair(answer: Answer | NoAnswer, *sent: Secret) -> TokenPair | Refused | NotHad:
    """What the answer says. `sent` is what must not come back in a code."""
    if isinstance(answer, NoAnswer):
        return NotHad(answer.reason, answer.maybe_sent)
    status = answer.status
    if status == _TOO_MANY:
        return NotHad(FailureReason.RATE_LIMITED, maybe_used=False)
    if status >= _INTERNAL:
        return NotHad(FailureReason.PROVIDER_5XX, maybe_used=status != _UNAVAILABLE)
    if status >= 400:  # noqa: PLR2004 - RFC 9110, section 15.5
        if status in _COME_AGAIN or is_bot_wall(answer):
            return NotHad(FailureReason.PROVIDER_4XX, maybe_used=False)
        return Refused(_code(answer, read_body(answer.body), sent) or str(status))
    if status >= 300:  # noqa: PLR2004 - as above; no redirect is followed
        return NotHad(FailureReason.MALFORMED_RESPONSE, maybe_used=False)
    return _of_success(answer, sent)


def _of_success(answer: Answer, sent: tuple[Secret, ...]) -> TokenPair | Refused | NotHad:
    body = read_body(answer.body)
    token = _text(body, "oauth_token", _TOKEN)
    secret = _text(body, "oauth_token_secret", _TOKEN_SECRET)
    if body.shape is Shape.FIELDS and token is not None and secret is not None:
        life = _text(body, "oauth_expires_in", _LIFE)
        return TokenPair(
            token=Secret(token),
            secret=Secret(secret),
            confirms_callback=str(body.fields.get("oauth_callback_confirmed")).strip().lower() == "true",
            expires_in_s=None if life is None else int(life),
        )
    code = _code(answer, body, sent)
    return NotHad(FailureReason.MALFORMED_RESPONSE, maybe_used=True) if code is None else Refused(code)


def _text(body: Body, name: str, kind: "re.Pattern[str]") -> str | None:
    value: Any = body.fields.get(name)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and len(text) <= _LONGEST_TOKEN and kind.fullmatch(text) else None


def _code(answer: Answer, body: Body, sent: tuple[Secret, ...]) -> str | None:
    found = _CHALLENGE.search(answer.headers.get("www-authenticate", ""))
    told = [*([] if found is None else [found[1].lower()]), *codes_of(body, answer.headers)]
    code = next((safe for safe in map(safe_code, told) if safe is not None), None)
    return None if code is None else without_secret(code, *sent)
