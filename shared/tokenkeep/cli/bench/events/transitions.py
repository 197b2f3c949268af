"""Changes of state, one after the other, and when each was committed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from tokenkeep.adapters.client_keys.assertions import JoseAssertions
from tokenkeep.adapters.oauth1.signing import AuthlibSigner
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.create_account import CreateAccount, NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import CreateSource, NewSource, PauseSource
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.bootstrap import Foundation, wall_clock
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.secret import Secret

Mark = tuple[str, int]
"""An event, by its subject's id and its sequence."""

_CALLER = Caller("bench", "default", frozenset({Scope.ADMIN}))
_WRITERS = 16
_CREATING = 16
_LIFE_S = 86_400.0


@dataclass(slots=True)
class Transitions:
    """Accounts that are disabled and enabled in turn, as an operator would, by the use-case that the API calls.

    `committed` tells when (`time.perf_counter`) each transaction was about to commit: what a commit takes counts with the
    way to the stream.
    """

    foundation: Foundation
    accounts: Sequence[AccountId]
    sequences: dict[AccountId, int]
    committed: dict[Mark, float] = field(default_factory=dict)
    _on: set[AccountId] = field(default_factory=set)

    async def make(self, position: int) -> Mark:
        """Change the account at this place of the round."""
        account_id = self.accounts[position % len(self.accounts)]
        on = account_id in self._on
        toggle = ToggleAccount(self.foundation.catalogue)
        async with PostgresWorks(self.foundation.database)() as work:
            await toggle(work, _CALLER, account_id, on=on, correlation_id="cor_bench")
            about_to_commit = time.perf_counter()
        (self._on.discard if on else self._on.add)(account_id)
        self.sequences[account_id] += 1
        mark = (format_id(IdKind.ACCOUNT, account_id), self.sequences[account_id])
        self.committed[mark] = about_to_commit
        return mark

    async def make_many(self, count: int) -> None:
        """Make so many from several writers at once, none of which waits for another's account."""
        writers = min(_WRITERS, len(self.accounts))

        async def write(first: int) -> None:
            for position in range(first, count, writers):
                await self.make(position)

        async with asyncio.TaskGroup() as group:
            for number in range(writers):
                group.create_task(write(number))


async def open_transitions(installation: Installation, *, accounts: int) -> Transitions:
    """Put so many accounts into custody. Their source is paused, so that nothing happens to them but these changes."""
    foundation = installation.foundation
    vault = Vault(Keyring.parse(installation.keyring))
    works = PostgresWorks(foundation.database)
    clients = SourceClients(vault, JoseAssertions(), TlsContexts(), wall_clock)
    source = NewSource(
        "generic-oauth2", "bench", "client", Secret("secret"), (), {"token_url": "https://provider.invalid/token"}
    )
    async with works() as work:
        signer = AuthlibSigner()
        source_id = (await CreateSource(foundation.catalogue, vault, clients, signer)(work, _CALLER, source)).id
    create = CreateAccount(foundation.catalogue, TokenSealer(vault), foundation.policy)
    free = asyncio.Semaphore(_CREATING)

    async def one(number: int) -> AccountId:
        tokens = LiveTokens(Secret(f"access-{number}"), Secret(f"refresh-{number}"), expires_in_s=_LIFE_S)
        wanted = NewAccount(source_id, tokens, external_id=None, metadata={}, properties={})
        async with free, works() as work:
            return await create(work, _CALLER, wanted, tokens=tokens, correlation_id="cor_bench")

    made = await asyncio.gather(*(one(number) for number in range(accounts)))
    async with works() as work:
        await PauseSource()(work, _CALLER, source_id)
    async with foundation.database.reading() as connection:
        rows = await connection.execute(text("SELECT subject, max(sequence) AS last FROM events GROUP BY subject"))
        told = {row.subject: int(row.last) for row in rows}
    return Transitions(foundation, made, {account_id: told[account_id] for account_id in made})
