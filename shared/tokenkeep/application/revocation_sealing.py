"""What is held of a grant until its provider has been told to revoke it: no more than that takes, sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tokenkeep.application.keep_credentials import fingerprint
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.revocation_request import revocation_host
from tokenkeep.providers.revocation_way import TokenKind
from tokenkeep.providers.rules import OAuth2Rules


@dataclass(frozen=True, slots=True)
class GrantTokens:
    """The tokens of a grant, open. `access_expires_at` None: no end of the access token is known."""

    access: Secret = field(repr=False)
    refresh: Secret | None = field(repr=False)
    access_expires_at: datetime | None = None


def sealed_revocation(
    sealer: TokenSealer,
    rules: OAuth2Rules,
    owner: tuple[AccountId, SourceId],
    key: SealedKey,
    tokens: GrantTokens,
    *,
    properties: Mapping[str, Any],
    external_id: str | None = None,
) -> NewRevocation | None:
    """The request for a revocation of this grant, with those of its tokens that the provider's way takes.

    None when the provider has no way, or none that these tokens are enough for. A machine's key is its owner's to withdraw, and
    what it was exchanged for ends by itself.
    """
    if rules.presented is Presented.MACHINE_CREDENTIALS:
        return None
    account_id, source_id = owner
    held = _by_kind(rules, tokens)
    taken = frozenset[TokenKind]() if rules.revocation is None else rules.revocation.tokens_of(held)
    if not taken:
        return None
    sealed = {kind: sealer.seal_revocation(account_id, key, kind, held[kind]) for kind in taken}
    refresh = held.get(TokenKind.REFRESH)
    return NewRevocation(
        account_id,
        source_id,
        sealer.up_to_date(account_id, key),
        refresh_ciphertext=sealed.get(TokenKind.REFRESH),
        access_ciphertext=sealed.get(TokenKind.ACCESS),
        fingerprint=fingerprint(refresh or tokens.access),
        access_fingerprint=fingerprint(tokens.access),
        properties=properties,
        external_id=external_id,
        access_ends_at=None if refresh is None else tokens.access_expires_at,
        host=revocation_host(rules, properties),
    )


def _by_kind(rules: OAuth2Rules, tokens: GrantTokens) -> dict[TokenKind, Secret]:
    """The tokens as the provider calls them. A long-lived access token that is exchanged for a new one is no refresh token."""
    held = {TokenKind.ACCESS: tokens.access}
    if tokens.refresh is not None and rules.presented is Presented.REFRESH_TOKEN:
        held[TokenKind.REFRESH] = tokens.refresh
    return held
