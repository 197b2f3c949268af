"""Discard a grant that was gained and that no account takes: at the provider it would live on, held by nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenkeep.application.revocation_sealing import GrantTokens, sealed_revocation
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.work import Works
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import AccountId, new_id
from tokenkeep.domain.source import Source
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules


@dataclass(frozen=True, slots=True)
class DiscardGrant:
    """Has the provider told to revoke it, unless that could end the grant of an account (ADR 0026).

    Many providers know one grant for a user and a client, whatever it was given for, and end all of it. So nothing is revoked
    unless it is known whose the grant is, and that no account of the same client can be his.
    """

    works: Works
    catalogue: Catalogue
    sealer: TokenSealer

    async def __call__(
        self, source: Source, tokens: TokenSet, properties: Mapping[str, Any], *, external_id: ExternalId | None
    ) -> bool:
        """Whether the provider will be told. `external_id` is what it says of whose the grant is."""
        rules = self._rules(source)
        if external_id is None or tokens.refresh_token is None or rules is None:
            return False
        owner = AccountId(new_id())
        wanted = sealed_revocation(
            self.sealer,
            rules,
            (owner, source.id),
            self.sealer.vault.new_data_key(owner),
            GrantTokens(tokens.access_token, tokens.refresh_token, tokens.expires_at),
            properties=properties,
            external_id=external_id.value,
        )
        if wanted is None:
            return False
        async with self.works() as work:
            if await work.identities.may_be_held(source, external_id):
                return False
            if await work.sources.get(source.id, source.environment, keep=True) is None:
                return False  # deleted meanwhile: nobody could revoke it without the source's client
            return await work.revocations.request([wanted]) > 0

    def _rules(self, source: Source) -> OAuth2Rules | None:
        try:
            return effective_rules(self.catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return None  # the catalogue does not know the provider any more
