"""Accounts to measure with: made in batches, by the use-cases that an import is made of."""

from collections.abc import Callable
from typing import Final

from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.adapters.oauth1.signing import AuthlibSigner
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.create_account import CreateAccount, NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import CreateSource, NewSource
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.bootstrap import wall_clock
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.secret import Secret

CALLER: Final = Caller("bench", "default", frozenset({Scope.ADMIN}))
CLIENT_ID: Final = "bench"
CLIENT_SECRET: Final = "secret-of-the-bench"  # noqa: S105 - the endpoint takes any
NOWHERE: Final = "https://provider.invalid/token"
"""The token endpoint of accounts that are never refreshed."""
_BATCH = 500
_LIFE_S = 86_400.0


async def add_source(
    installation: Installation, token_url: str, *, provider: str = "generic-oauth2", **options: str
) -> SourceId:
    """A source whose token endpoint is there; `options` are what else it says."""
    foundation = installation.foundation
    vault = Vault(Keyring.parse(installation.keyring))
    clients = SourceClients(vault, JoseAssertions(), TlsContexts(), wall_clock)
    said = {"token_url": token_url, **options}
    wanted = NewSource(provider, "bench", CLIENT_ID, Secret(CLIENT_SECRET), (), said)
    async with PostgresWorks(foundation.database)() as work:
        created = CreateSource(foundation.catalogue, vault, clients, AuthlibSigner())
        return (await created(work, CALLER, wanted)).id


async def add_accounts(
    installation: Installation,
    source_id: SourceId,
    count: int,
    *,
    mark: str = "",
    made: Callable[[int], None] = lambda _: None,
) -> list[AccountId]:
    """Put so many accounts into custody, with tokens that live for a day.

    Their refresh tokens are `rt-MARK and a number-1`; `mark` tells one lot from another. `made` is told how many there are.
    """
    foundation = installation.foundation
    sealer = TokenSealer(Vault(Keyring.parse(installation.keyring)))
    create = CreateAccount(foundation.catalogue, sealer, foundation.policy)
    works = PostgresWorks(foundation.database)
    ids: list[AccountId] = []
    for first in range(0, count, _BATCH):
        async with works() as work:
            source = await work.sources.get(source_id, CALLER.environment)
            assert source is not None  # noqa: S101 - it was made before
            now = await work.accounts.now()
            prepared = []
            for number in range(first, min(first + _BATCH, count)):
                tokens = LiveTokens(
                    Secret(f"at-{mark}{number}-1"), Secret(f"rt-{mark}{number}-1"), expires_in_s=_LIFE_S
                )
                wanted = NewAccount(source_id, tokens, external_id=None, metadata={}, properties={})
                prepared.append(create.prepare(source, wanted, tokens, now=now, correlation_id="cor_bench"))
            await work.new_accounts.add(prepared)
            await work.tell([event for one in prepared for event in one.events])
        ids += [one.account.id for one in prepared]
        made(len(ids))
    return ids
