"""Where credentials are sent: whoever names these addresses may have them.

A source names addresses for all of its accounts, and an account's properties fill them for this one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.entry_file import source_properties
from tokenkeep.providers.options import effective_rules, verification_of
from tokenkeep.providers.token_request import filled_in, placeholders_in

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


@dataclass(frozen=True, slots=True)
class AccountDestinations:
    """Where one account's credentials are sent: None where there is no such request, or a property is missing for it.

    `verification` gets what requests are made with: an access token, a key, a password. `grant` are the addresses that get what
    renews it: of the token endpoint, of refreshes, of revocations.
    """

    verification: str | None
    grant: tuple[str | None, ...]

    def verification_moved(self, former: "AccountDestinations") -> bool:
        """Whether a verification asks at an address at which `former` did not."""
        return _moved((former.verification,), (self.verification,))

    def grant_moved(self, former: "AccountDestinations") -> bool:
        """Whether a grant goes to an address to which `former` did not send it."""
        return _moved(former.grant, self.grant)


def account_destinations(
    provider: Provider, options: Mapping[str, Any], properties: Mapping[str, Any]
) -> AccountDestinations:
    """The whole addresses, with all that source and account fill into them; what is secret in one stands in braces.

    Raises:
        InvalidInput: The source's token address is not known; the field is `options.token_url`.
    """
    verification = verification_of(provider, options)
    grant: tuple[str | None, ...] = ()
    if provider.auth_type is AuthType.OAUTH2:
        rules = effective_rules(provider, options)
        revocation = None if rules.revocation is None else rules.revocation.url
        grant = (rules.token_url, rules.refresh_url, revocation)
    of_source = {it.name: str(options[it.name]) for it in source_properties(provider) if it.name in options}

    def filled(url: str | None) -> str | None:
        if url is None:
            return None
        declared = {it.name for it in provider.placeholders}
        own = {name: f"{{{name}}}" for name in placeholders_in(url) - declared}
        try:
            return filled_in(url, provider.placeholders, (of_source, properties), own)
        except InvalidInput:
            return None

    asked = None if verification is None else verification.url
    return AccountDestinations(filled(asked), tuple(filled(url) for url in grant))


def _moved(former: Iterable[str | None], now: Iterable[str | None]) -> bool:
    return any(url is not None and url != before for before, url in zip(former, now, strict=True))
