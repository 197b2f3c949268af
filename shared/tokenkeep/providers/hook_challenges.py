"""The questions by which providers see that an address is ours. They come signed, as everything else that is answered."""

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.secret import Secret
from tokenkeep.providers.hook_notices import first_text
from tokenkeep.providers.hook_rules import ProviderHooks
from tokenkeep.providers.hook_signatures import HookRequest, challenge_hmac

# Whoever could have any text put under the secret could sign with it: what is signed in earnest has colons, dots or braces.
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,255}")


def challenge_answer(
    hooks: ProviderHooks, request: HookRequest, document: Any, secret: Secret
) -> Mapping[str, str] | None:
    """The answer, if this is the provider's question, and its text is one that may be repeated."""
    challenge = hooks.challenge
    if challenge is None or first_text(hooks.type, request.headers, document) != challenge.type:
        return None
    value = first_text((challenge.value,), request.headers, document)
    if value is None or not _PLAIN.fullmatch(value):
        return None
    under = challenge_hmac(secret, value)
    return {name: text.replace("{value}", value).replace("{hmac}", under) for name, text in challenge.answer.items()}
