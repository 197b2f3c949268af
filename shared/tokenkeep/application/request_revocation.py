"""Request a revocation: write down, beside the change that is its cause, that a grant is to be worth nothing any more."""

from dataclasses import dataclass

from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.full_accounts import FullAccount, StoredCredentials
from tokenkeep.application.revocation_sealing import GrantTokens, sealed_revocation
from tokenkeep.application.revocations import RevocationAsked
from tokenkeep.application.sealing import ACCESS, REFRESH, TokenSealer
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Custody, DisabledReason
from tokenkeep.domain.errors import NotStored, TokenkeepError, VaultError
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules


@dataclass(frozen=True, slots=True)
class RequestRevocation:
    """Seals what of a grant the provider's way takes, for a worker that tells the provider."""

    catalogue: Catalogue
    sealer: TokenSealer

    async def __call__(self, work: Work, full: FullAccount, fetched: Fetched) -> RevocationAsked:
        """What was done about the grant of this account, which is locked and has its credentials still.

        Raises:
            StoredElsewhere: Its credentials are to be fetched first.
        """
        stored = full.stored
        if stored is None or not _may_be_alive(full):
            return RevocationAsked.NOT_NEEDED
        rules = await self._rules(work, full)
        if rules is None or rules.revocation is None:
            return RevocationAsked.NOT_POSSIBLE
        try:
            wanted = sealed_revocation(
                self.sealer,
                rules,
                (full.account.id, full.account.source_id),
                stored.sealed_key,
                self._opened(full, stored, fetched, rules),
                properties=full.properties,
                external_id=full.account.external_id if full.account.external_id_verified else None,
            )
        except (VaultError, NotStored):
            return RevocationAsked.FAILED
        if wanted is None:
            return RevocationAsked.NOT_POSSIBLE
        asked = await work.revocations.request([wanted])
        return RevocationAsked.REQUESTED if asked else RevocationAsked.NOT_NEEDED

    async def _rules(self, work: Work, full: FullAccount) -> OAuth2Rules | None:
        source = await work.sources.get(full.account.source_id, full.account.environment)
        if source is None:
            return None
        try:
            return effective_rules(self.catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return None  # the catalogue does not know the provider any more, or its accounts are of another kind

    def _opened(
        self, full: FullAccount, stored: StoredCredentials, fetched: Fetched, rules: OAuth2Rules
    ) -> GrantTokens:
        owner, key, version = full.account.id, stored.sealed_key, stored.version
        access = fetched.column(owner, key, ACCESS, stored.access_ciphertext, version)
        refresh = None if rules.presented is Presented.MACHINE_CREDENTIALS else stored.refresh_ciphertext
        if refresh is not None:
            refresh = fetched.column(owner, key, REFRESH, refresh, version)
        return GrantTokens(
            access=self.sealer.open_access(owner, key, access, version),
            refresh=None if refresh is None else self.sealer.open_refresh(owner, key, refresh, version),
            access_expires_at=version.expires_at,
        )


def _may_be_alive(full: FullAccount) -> bool:
    """Whether there is a grant that may be alive, and is ours. Whoever handed a token back does not revoke it.

    Only the provider's own word is the end of it. Where an answer was lost, a successor most likely lives that nobody holds; and
    neither a calendar nor a service that tells of an uninstall knows what the provider has kept.
    """
    disabled = full.account.disabled
    is_dead = disabled is not None and disabled.reason is DisabledReason.REVOKED
    return full.account.custody is not Custody.RELEASED and not is_dead
