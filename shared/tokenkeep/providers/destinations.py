"""Where a source has its accounts' refresh tokens sent: whoever names these addresses may have the tokens."""

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.entry_file import source_properties
from tokenkeep.providers.options import effective_rules

_BRACES = re.compile(r"\{([^{}]*)\}")


def destinations(provider: Provider, options: Mapping[str, Any]) -> tuple[str | None, ...] | None:
    """The addresses, with what the source itself fills into them; None: they can't be told, for an option is missing.

    Of other kinds than OAuth 2 nothing is sent anywhere.
    """
    if provider.auth_type is not AuthType.OAUTH2:
        return ()
    try:
        rules = effective_rules(provider, options)
    except InvalidInput:
        return None
    held = {it.name: options.get(it.name, it.default) for it in source_properties(provider)}
    revocation = None if rules.revocation is None else rules.revocation.url
    addresses = (rules.token_url, rules.refresh_url, revocation, rules.refresh_callout_url)
    return tuple(
        None if url is None else _BRACES.sub(lambda found: str(held.get(found[1]) or found[0]), url)
        for url in addresses
    )
