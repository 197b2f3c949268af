"""What a change of an account's properties takes, where it has credentials that would go elsewhere for it (ADR 0035)."""

from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.errors import NotAllowed
from tokenkeep.domain.source import Source
from tokenkeep.providers.destinations import account_destinations
from tokenkeep.providers.entry import Provider


def check_destinations(
    caller: Caller, provider: Provider, source: Source, former: Mapping[str, Any], changed: Mapping[str, Any]
) -> None:
    """See that the caller may have what an account with credentials would have sent to other addresses.

    Args:
        caller: Who changes the properties, or has an end user change them.
        provider: The source's provider.
        source: The account's source.
        former: The account's properties as they are.
        changed: All of them as they would be.

    Raises:
        NotAllowed: A grant would go elsewhere, and the caller lacks `credentials:release`; or what requests are made with would,
            when it is verified, and the caller lacks `credentials:read`.
        InvalidInput: The source's token address is not known.
    """
    if former == changed:
        return
    before = account_destinations(provider, source.options, former)
    then = account_destinations(provider, source.options, changed)
    if then.grant_moved(before) and not caller.may(Scope.CREDENTIALS_RELEASE):
        raise NotAllowed(Scope.CREDENTIALS_RELEASE)
    if then.verification_moved(before) and not caller.may(Scope.CREDENTIALS_READ):
        raise NotAllowed(Scope.CREDENTIALS_READ)
