"""Accounts to be refreshed: made in batches by the use-cases that an import is made of, and brought due."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import text

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
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret

CALLER: Final = Caller("bench", "default", frozenset({Scope.ADMIN}))
CLIENT_ID: Final = "bench"
CLIENT_SECRET: Final = "secret-of-the-bench"  # noqa: S105 - the endpoint takes any
_BATCH = 500
_LIFE_S = 86_400.0
_DUE = text("""
UPDATE leases SET next_refresh_at = clock_timestamp() - make_interval(secs => 1), due_at = clock_timestamp()
 WHERE account_id IN (SELECT account_id FROM leases
                       WHERE source_id = :source AND phase = 'idle' AND next_refresh_at > clock_timestamp() LIMIT :count)
""")
_LEFT = text("""
SELECT count(*) FROM leases AS l JOIN credentials AS c USING (account_id)
 WHERE l.source_id = :source AND (l.phase <> 'idle' OR l.next_refresh_at <= clock_timestamp())
""")


async def add_source(installation: Installation, token_url: str, *, rotating: bool) -> SourceId:
    """A source whose token endpoint is there. One that rotates is of the strictest kind: a second presentation is fatal."""
    foundation = installation.foundation
    vault = Vault(Keyring.parse(installation.keyring))
    clients = SourceClients(vault, JoseAssertions(), TlsContexts(), wall_clock)
    options: dict[str, object] = {"token_url": token_url, "refresh_rotates": "yes" if rotating else "no"}
    if rotating:
        options["reuse_detection"] = "revokes"
    wanted = NewSource("generic-oauth2", token_url, CLIENT_ID, Secret(CLIENT_SECRET), (), options)
    async with PostgresWorks(foundation.database)() as work:
        created = CreateSource(foundation.catalogue, vault, clients, AuthlibSigner())
        return (await created(work, CALLER, wanted)).id


async def add_accounts(
    installation: Installation, source_id: SourceId, count: int, *, mark: str, made: Callable[[int], None]
) -> None:
    """Put so many accounts into custody. Their tokens are `rt-MARK and a number-1`; `mark` tells one stock from another."""
    foundation = installation.foundation
    sealer = TokenSealer(Vault(Keyring.parse(installation.keyring)))
    create = CreateAccount(foundation.catalogue, sealer, foundation.policy)
    works = PostgresWorks(foundation.database)
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
        made(min(first + _BATCH, count))


async def bring_due(installation: Installation, source_id: SourceId, count: int) -> None:
    """Let so many of the source's accounts that are not due fall due now, all at once."""
    async with installation.foundation.database.transaction() as connection:
        await connection.execute(_DUE, {"source": source_id, "count": count})


async def leftovers(installation: Installation, source_id: SourceId) -> int:
    """How many accounts of the source are held by somebody, or due."""
    async with installation.foundation.database.reading() as connection:
        return int((await connection.execute(_LEFT, {"source": source_id})).scalar_one())
