"""A whole tokenkeep in one process, over real stores, with a scripted token endpoint."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import text

from source_clients import SIGNER, source_clients
from tokenkeep.adapters.postgres.event_log import events_of
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.create_account import CreateAccount, NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import CreateSource, NewSource
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.settle_attempts import Settled
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.bootstrap import Foundation, lay_foundation
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings
from tokenkeep_scheduler.main import Jobs
from tokenkeep_scheduler.main import wire as wire_scheduler
from tokenkeep_worker.wiring import Refreshing
from tokenkeep_worker.wiring import wire as wire_worker

CALLER = Caller("test", "default", frozenset({Scope.ADMIN}))


@dataclass
class Road:
    """The parts of a running system, and what tests do with it."""

    foundation: Foundation
    refreshing: Refreshing
    jobs: Jobs
    works: PostgresWorks
    sealer: TokenSealer
    keyring: Secret
    log: list[MutableMapping[str, Any]]

    async def source(self, url: str, **options: Any) -> SourceId:
        return await self.source_of_client("shh", token_url=url, **options)

    async def source_of_client(self, secret: str, **options: Any) -> SourceId:
        """A source whose client `client` proves itself with this."""
        wanted = NewSource("generic-oauth2", "a source", "client", Secret(secret), (), options)
        async with self.works() as work:
            clients = source_clients(self.sealer.vault)
            create = CreateSource(self.foundation.catalogue, self.sealer.vault, clients, SIGNER)
            return (await create(work, CALLER, wanted)).id

    async def account(
        self,
        source_id: SourceId,
        name: str = "grant",
        *,
        expires_in_s: float = 0.0,
        refreshable: bool = True,
        refresh_ends_at: datetime | None = None,
    ) -> AccountId:
        """An active account whose refresh token is `<name>.1`; by default its access token has just expired."""
        refresh_token = Secret(f"{name}.1") if refreshable else None
        tokens = LiveTokens(
            Secret(f"access-{name}.1"),
            refresh_token,
            expires_in_s=expires_in_s,
            refresh_token_expires_at=refresh_ends_at,
        )
        wanted = NewAccount(source_id, tokens, external_id=None, metadata={}, properties={})
        create = CreateAccount(self.foundation.catalogue, self.sealer, self.foundation.policy)
        async with self.works() as work:
            return await create(work, CALLER, wanted, tokens=tokens, correlation_id="cor_test")

    async def refresh(self, *account_ids: AccountId, trigger: Trigger = Trigger.SCHEDULE) -> list[Settled]:
        return await self.refreshing.refresh(account_ids, trigger=trigger, correlation_id="cor_test")

    async def tick(self) -> int:
        return await self.jobs.emit_due(correlation_id="cor_test")

    async def toggle(self, account_id: AccountId, *, on: bool) -> None:
        async with self.works() as work:
            await ToggleAccount(self.foundation.catalogue)(work, CALLER, account_id, on=on, correlation_id="cor_test")

    async def blocked(self, count: int) -> None:
        """Wait until so many of the database's sessions wait for a lock."""
        async with asyncio.timeout(5):
            while True:
                [row] = await self.sql(
                    "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
                    " AND wait_event_type = 'Lock'"
                )
                if row["n"] >= count:
                    return
                await asyncio.sleep(0.01)

    async def observed(self, event: str) -> None:
        """Wait until the log has said this."""
        async with asyncio.timeout(10):
            while event not in {line["event"] for line in self.log}:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.01)

    async def view(self, account_id: AccountId) -> AccountView:
        async with self.works() as work:
            view = await work.accounts.view(account_id, "default")
        assert view is not None
        return view

    async def events(self, account_id: AccountId) -> list[Event]:
        async with self.works() as work:
            return list(reversed(await events_of(work.connection, account_id)))

    async def told(self, account_id: AccountId) -> list[str]:
        """The types of an account's events, without their prefix, oldest first."""
        return [event.type.removeprefix("tokenkeep.account.") for event in await self.events(account_id)]

    async def sql(self, statement: str, **parameters: Any) -> Any:
        async with self.foundation.database.transaction() as connection:
            result = await connection.execute(text(statement), parameters)
            return result.mappings().all() if result.returns_rows else None

    async def pass_time(self, account_id: AccountId, span: timedelta) -> None:
        """As if so much time had passed for this account: all that is stored of it moves into the past."""
        for statement in (
            """UPDATE leases SET obtained_at = obtained_at - CAST(:span AS interval),
                      next_refresh_at = next_refresh_at - CAST(:span AS interval),
                      due_at = due_at - CAST(:span AS interval), not_before = not_before - CAST(:span AS interval),
                      watched_end = watched_end - CAST(:span AS interval), tell_at = tell_at - CAST(:span AS interval)
                WHERE account_id = :id""",
            """UPDATE credentials SET obtained_at = obtained_at - CAST(:span AS interval),
                      expires_at = expires_at - CAST(:span AS interval),
                      refresh_token_expires_at = refresh_token_expires_at - CAST(:span AS interval)
                WHERE account_id = :id""",
        ):
            await self.sql(statement, id=account_id, span=span)

    async def make_due(self, account_id: AccountId) -> None:
        await self.sql(
            "UPDATE leases SET next_refresh_at = now(), due_at = now(), not_before = NULL WHERE account_id = :id",
            id=account_id,
        )


@asynccontextmanager
async def open_road(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Road]:
    """A system over these stores, with settings changed. `traces`, if given, are what its parts trace by."""
    given, traces = changes.pop("keyring", None), changes.pop("traces", None)
    keyring = Keyring.generate().to_text() if given is None else Secret(given)
    spool_dir = tempfile.mkdtemp(prefix="tk-spool-")
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "keyring": keyring.reveal(),
            "allow_private_hosts": "127.0.0.1/32",
            "spool_dir": spool_dir,
            "write_ahead_s": "10",  # a machine that stands still for a moment is not too late to send
            **changes,
        }
    )
    foundation = lay_foundation(settings, process="test", traces=traces)
    refreshing = wire_worker(foundation)
    sealer = TokenSealer(Vault(Keyring.parse(keyring)))
    try:
        with structlog.testing.capture_logs() as log:
            works = PostgresWorks(foundation.database)
            yield Road(foundation, refreshing, wire_scheduler(foundation), works, sealer, keyring, log)
    finally:
        await refreshing.refresh.drain()
        in_hand = refreshing.refresh.in_hand
        await refreshing.close()
        await foundation.close()
        await asyncio.to_thread(shutil.rmtree, spool_dir)
    assert in_hand == 0, "whatever became of them, all are let go of"
