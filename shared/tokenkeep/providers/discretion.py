"""A provider may put what it was sent where its error code should be; such a code is not kept."""

import re
from dataclasses import replace

from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Misconfigured, Revoked, Unavailable, Verdict

UNKNOWN = "unknown_error"
_NOT_ALNUM = re.compile(r"[^a-z0-9]")
_SHORTEST = 4


def without_secrets(verdict: Verdict, *sent: Secret | None) -> Verdict:
    """The verdict with every code that holds, or is part of, something that was sent replaced by `unknown_error`."""
    secrets = [_letters(secret.reveal()) for secret in sent if secret is not None]
    match verdict:
        case Revoked(code=code, detail=detail):
            hidden = detail if detail is None or not _tells(detail, secrets) else UNKNOWN
            return replace(verdict, code=UNKNOWN if _tells(code, secrets) else code, detail=hidden)
        case Misconfigured(code=str(code)) | Unavailable(code=str(code)) if _tells(code, secrets):
            return replace(verdict, code=UNKNOWN)
        case _:
            return verdict


def without_secret(code: str, *sent: Secret) -> str:
    """The code, unless it holds, or is part of, something that was sent."""
    return UNKNOWN if _tells(code, [_letters(secret.reveal()) for secret in sent]) else code


def _letters(text: str) -> str:
    return _NOT_ALNUM.sub("", text.casefold())


def _tells(code: str, secrets: list[str]) -> bool:
    letters = _letters(code)
    return any(
        len(secret) >= _SHORTEST and len(letters) >= _SHORTEST and (letters in secret or secret in letters)
        for secret in secrets
    )
