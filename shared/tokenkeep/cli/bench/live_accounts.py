"""Accounts that can be refreshed: made by the use-cases that the API calls."""

import asyncio
from collections.abc import Sequence

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

_CALLER = Caller("bench", "default", frozenset({Scope.ADMIN}))
_AT_ONCE = 8
_LIFE_S = 86_400.0


async def open_source(installation: Installation, token_url: str) -> SourceId:
    """A source whose tokens come from there."""
    foundation = installation.foundation
    vault = Vault(Keyring.parse(installation.keyring))
    clients = SourceClients(vault, JoseAssertions(), TlsContexts(), wall_clock)
    wanted = NewSource("generic-oauth2", "bench", "client", Secret("secret"), (), {"token_url": token_url})
    async with PostgresWorks(foundation.database)() as work:
        create = CreateSource(foundation.catalogue, vault, clients, AuthlibSigner())
        return (await create(work, _CALLER, wanted)).id


async def take_in(installation: Installation, token_url: str, *, count: int) -> Sequence[AccountId]:
    """So many accounts of one source, with tokens that live for a day."""
    foundation = installation.foundation
    source_id = await open_source(installation, token_url)
    sealer = TokenSealer(Vault(Keyring.parse(installation.keyring)))
    create = CreateAccount(foundation.catalogue, sealer, foundation.policy)
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> AccountId:
        tokens = LiveTokens(Secret(f"access-{number}"), Secret(f"refresh-{number}"), expires_in_s=_LIFE_S)
        wanted = NewAccount(source_id, tokens, external_id=None, metadata={}, properties={})
        async with free, PostgresWorks(foundation.database)() as work:
            return await create(work, _CALLER, wanted, tokens=tokens, correlation_id="cor_bench")

    return await asyncio.gather(*(one(number) for number in range(count)))
