"""Transactions with their repositories."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.accounts import PostgresAccounts
from tokenkeep.adapters.postgres.api_keys import PostgresApiKeys
from tokenkeep.adapters.postgres.audit import write_audit
from tokenkeep.adapters.postgres.connect_sessions import PostgresConnectSessions
from tokenkeep.adapters.postgres.console_sessions import PostgresConsoleSessions
from tokenkeep.adapters.postgres.custody_ledger import PostgresCustodyLedger
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.full_accounts import PostgresFullAccounts
from tokenkeep.adapters.postgres.idempotency import PostgresIdempotency
from tokenkeep.adapters.postgres.identities import PostgresIdentities
from tokenkeep.adapters.postgres.imports import PostgresImports
from tokenkeep.adapters.postgres.inbox import PostgresInbox
from tokenkeep.adapters.postgres.new_accounts import PostgresNewAccounts
from tokenkeep.adapters.postgres.provider_notices import PostgresProviderNotices
from tokenkeep.adapters.postgres.releases import PostgresReleases
from tokenkeep.adapters.postgres.revocation_requests import PostgresRevocations
from tokenkeep.adapters.postgres.sources import PostgresSources
from tokenkeep.adapters.postgres.token_reads import write_demands
from tokenkeep.adapters.postgres.transactions import transaction_id, was_committed
from tokenkeep.adapters.postgres.webhook_turns import PostgresWebhookTurns
from tokenkeep.adapters.postgres.webhooks import PostgresWebhooks
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId


class PostgresWork:
    """The repositories over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.accounts = PostgresAccounts(connection)
        self.new_accounts = PostgresNewAccounts(connection)
        self.imports = PostgresImports(connection)
        self.sources = PostgresSources(connection)
        self.api_keys = PostgresApiKeys(connection)
        self.full_accounts = PostgresFullAccounts(connection)
        self.identities = PostgresIdentities(connection)
        self.releases = PostgresReleases(connection)
        self.revocations = PostgresRevocations(connection)
        self.connect_sessions = PostgresConnectSessions(connection)
        self.console_sessions = PostgresConsoleSessions(connection)
        self.ledger = PostgresCustodyLedger(connection)
        self.idempotency = PostgresIdempotency(connection)
        self.inbox = PostgresInbox(connection)
        self.webhooks = PostgresWebhooks(connection)
        self.webhook_turns = PostgresWebhookTurns(connection)
        self.provider_notices = PostgresProviderNotices(connection)

    async def tell(self, events: Sequence[Event]) -> None:
        """Write events beside the change that they tell."""
        await append_events(self.connection, events)

    async def transaction_id(self) -> str:
        """By which `was_committed` knows this transaction later."""
        return await transaction_id(self.connection)

    async def was_committed(self, transaction_id: str) -> bool | None:
        """Whether another transaction was committed; None while it is still open."""
        return await was_committed(self.connection, transaction_id)

    async def demand(self, account_id: AccountId, newer_than: datetime) -> None:
        """Ask for credentials obtained after this moment, if the account is refreshed at all; a pause only puts it off."""
        await write_demands(self.connection, {account_id: newer_than}, paused_too=True)

    async def audit(self, *entries: AuditEntry) -> None:
        """Write audit entries beside the changes that they tell."""
        await write_audit(self.connection, entries)


class PostgresWorks:
    """Opens units of work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresWork]:
        """One transaction, committed at the end of the block."""
        async with self._database.transaction() as connection:
            yield PostgresWork(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresWork]:
        """The repositories for reads that each stand alone, without a transaction around them."""
        async with self._database.reading() as connection:
            yield PostgresWork(connection)


class PostgresLedgers:
    """Opens transactions for the custody protocol alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresCustodyLedger]:
        """One transaction, committed at the end of the block."""
        async with self._database.transaction() as connection:
            yield PostgresCustodyLedger(connection)
