"""Refresh a batch of accounts: take custody, write ahead, present, settle. One straight road (custody protocol, S0-S8).

Each account walks alone from its lease to its settlement, so a slow provider delays nobody else; the database work of
accounts that happen to be at the same step is done in one statement (`Batcher`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from tokenkeep.application.batching import Batcher
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import (
    Announcer,
    CustodyLocks,
    Ledgers,
    ReadyConnection,
    RefreshObserver,
    SourceConfigs,
    TokenEndpoints,
)
from tokenkeep.application.refreshing import (
    Answered,
    Leased,
    LeaseRequest,
    RefreshTimes,
    SourceConfig,
    WriteAhead,
    unsettled,
)
from tokenkeep.application.sealing import CLIENT_SECRET, TokenSealer
from tokenkeep.application.settle_attempts import SettleAttempts, Settled
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.errors import ConnectFailed, InvalidInput, TokenkeepError, VaultError
from tokenkeep.domain.ids import AccountId, AttemptId, new_id
from tokenkeep.domain.rotation import Quarantine, RotationKind
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import NotSent, Verdict
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.discretion import without_secrets
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.token_request import refresh_request

_UNKNOWN_RULES = OAuth2Rules(token_url="", refresh_url="")
_UNKNOWN_LIFETIME = timedelta(hours=1)
"""The life of a token that can be refreshed and whose life nobody tells."""


@dataclass(frozen=True, slots=True)
class RefreshTask:
    """One leased account with all that it takes to refresh it."""

    leased: Leased
    source: SourceConfig
    known_rules: OAuth2Rules | None
    trigger: Trigger
    correlation_id: str

    @property
    def rules(self) -> OAuth2Rules:
        """The source's rules; where they are not known, those of the strictest kind, by which nothing is sent."""
        return self.known_rules or _UNKNOWN_RULES


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to leave, and the refresh token in it."""

    request: TokenRequest
    presented: Secret
    client_secret: Secret | None
    known_life: timedelta


@dataclass(frozen=True, slots=True)
class Written:
    """An intent that is journalled: `sent_at` by the database's clock, and until when, by `boottime()`, it may be sent."""

    sent_at: datetime
    send_before: float


class RefreshAccounts:
    """The worker's use-case. One instance serves a whole process; its batchers are shared by all messages."""

    def __init__(
        self,
        *,
        ledgers: Ledgers,
        sources: SourceConfigs,
        locks: CustodyLocks,
        sealer: TokenSealer,
        endpoints: TokenEndpoints,
        catalogue: Catalogue,
        settle: SettleAttempts,
        announcer: Announcer,
        observer: RefreshObserver,
        clocks: Clocks,
        times: RefreshTimes,
        quarantine: Quarantine,
    ) -> None:
        self._ledgers = ledgers
        self._sources = sources
        self._locks = locks
        self._sealer = sealer
        self._endpoints = endpoints
        self._catalogue = catalogue
        self._announcer = announcer
        self._observer = observer
        self._clocks = clocks
        self._times = times
        self._quarantine = quarantine
        self._write_ahead = Batcher(self._write_intents, limit=100)
        self._settle = Batcher(settle)
        self._give_back = Batcher(self._give_back_locks)

    async def __call__(
        self, account_ids: Sequence[AccountId], *, trigger: Trigger, correlation_id: str
    ) -> list[Settled]:
        """Refresh those of these accounts that are owed a refresh and that nobody else holds."""
        owner = new_id().hex
        free = await self._locks.take(account_ids, owner)
        if len(free) < len(account_ids):
            self._observer.contended(len(account_ids) - len(free))
        try:
            tasks = await self._lease(free, trigger, correlation_id)
        except BaseException:
            await asyncio.shield(self._locks.give_back([(one, owner) for one in free]))
            raise
        working = {task.leased.account_id for task in tasks}
        idle = [self._give_back((one, owner)) for one in free if one not in working]
        settled = await asyncio.gather(*(self._in_custody(task, owner) for task in tasks))
        await asyncio.gather(*idle)
        return [result for result in settled if result is not None]

    async def drain(self) -> None:
        """Wait until every answer that was received is durable."""
        await self._write_ahead.drain()
        await self._settle.drain()

    async def _lease(
        self, account_ids: Sequence[AccountId], trigger: Trigger, correlation_id: str
    ) -> list[RefreshTask]:
        requests = [LeaseRequest(account_id, AttemptId(new_id())) for account_id in account_ids]
        if not requests:
            return []
        async with self._ledgers() as ledger:
            leased = await ledger.lease(requests, lease=self._times.lease, look=self._times.look)
        sources = await self._sources({one.source_id for one in leased}) if leased else {}
        return [
            RefreshTask(one, sources[one.source_id], self._rules_of(sources[one.source_id]), trigger, correlation_id)
            for one in leased
        ]

    def _rules_of(self, source: SourceConfig) -> OAuth2Rules | None:
        """The source's rules; None when this process can't work them out: its catalogue may be another one."""
        try:
            return effective_rules(self._catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return None

    async def _in_custody(self, task: RefreshTask, owner: str) -> Settled | None:
        try:
            return await self._refresh(task)
        except Exception as error:  # noqa: BLE001 - one account's fault must not end its neighbours' refreshes
            # The lease stays as it is: a sweeper looks after it, by how far it had come.
            self._observer.abandoned(task.leased.account_id, task.correlation_id, error)
            return None
        finally:
            await self._give_back((task.leased.account_id, owner))

    async def _give_back_locks(self, held: Sequence[tuple[AccountId, str]]) -> Sequence[None]:
        await self._locks.give_back(held)
        await self._announcer.settled([account_id for account_id, _ in held])
        return [None] * len(held)

    async def _refresh(self, task: RefreshTask) -> Settled | None:
        started = monotonic()
        prepared = self._prepare(task)
        if isinstance(prepared, NotSent):
            return await self._settled(task, prepared, None, None, started)
        try:
            async with self._connection(task, prepared) as connection:
                return await self._present(task, prepared, connection, started)
        except ConnectFailed as failure:
            return await self._settled(task, NotSent(failure.reason), None, None, started)

    def _prepare(self, task: RefreshTask) -> Prepared | NotSent:
        """Everything that can fail on our side is done before anything is written or sent (S0)."""
        leased, source = task.leased, task.source
        if task.known_rules is None:
            self._observer.not_prepared(leased.account_id, task.correlation_id, "UnknownRules")
            return NotSent(FailureReason.INTERNAL_ERROR)
        try:
            presented = self._sealer.open_refresh(
                leased.account_id, leased.sealed_key, leased.refresh_ciphertext, leased.version
            )
            client_secret = self._client_secret(source)
            request = refresh_request(
                task.rules,
                client_id=source.client_id or "",
                client_secret=client_secret,
                refresh_token=presented,
                properties=leased.properties,
            )
        except (VaultError, InvalidInput) as error:
            self._observer.not_prepared(task.leased.account_id, task.correlation_id, type(error).__name__)
            return NotSent(FailureReason.INTERNAL_ERROR)
        return Prepared(request, presented, client_secret, _known_life(leased))

    def _client_secret(self, source: SourceConfig) -> Secret | None:
        if source.client_secret_ciphertext is None:
            return None
        plain = self._sealer.vault.open(
            source.id, source.sealed_key, CLIENT_SECRET, (source.secret_version, 0), source.client_secret_ciphertext
        )
        return Secret(plain.decode())

    def _connection(self, task: RefreshTask, prepared: Prepared) -> AbstractAsyncContextManager[ReadyConnection]:
        """S3: a connection that is ready before the intent is written. Its failure is no doubt: nothing was sent."""
        strict = task.rules.rotation.kind in {RotationKind.STRICT, RotationKind.STRICT_REVOKE}
        window = self._times.strict_reuse_window if strict else self._times.reuse_window
        return self._endpoints.lend(
            prepared.request.url,
            reuse_window_s=window.total_seconds(),
            deadline=self._clocks.loop_time() + (self._times.lease / 3).total_seconds(),
        )

    async def _present(
        self, task: RefreshTask, prepared: Prepared, connection: ReadyConnection, started: float
    ) -> Settled | None:
        """S4 to S7: journal the intent, let the token leave, make the answer durable."""
        written = await self._write_ahead(
            WriteAhead(
                leased=task.leased,
                trigger=task.trigger,
                correlation_id=task.correlation_id,
                secret_version=task.source.secret_version,
                quarantine_s=self._quarantine.span(task.rules.rotation).total_seconds(),
            )
        )
        if written is None:
            self._observer.fenced_off(task.leased.account_id, task.correlation_id)
            async with self._ledgers() as ledger:
                await ledger.give_back(task.leased.account_id, task.leased.fence)
            return None
        answer = await connection.exchange(
            prepared.request,
            deadline=self._clocks.loop_time() + self._times.provider_deadline.total_seconds(),
            send_before=written.send_before,
        )
        sent_at = written.sent_at
        verdict = classify(answer, task.rules, sent_at=sent_at, now=sent_at, fallback_lifetime=prepared.known_life)
        verdict = without_secrets(verdict, prepared.presented, prepared.client_secret)
        return await self._settled(task, verdict, prepared.presented, sent_at, started)

    async def _settled(
        self, task: RefreshTask, verdict: Verdict, presented: Secret | None, sent_at: datetime | None, started: float
    ) -> Settled:
        attempt = unsettled(task.leased, trigger=task.trigger, correlation_id=task.correlation_id, sent_at=sent_at)
        answered = Answered(
            attempt, verdict, task.source, task.rules, presented, task.leased.scopes, task.leased.doubts
        )
        settled = await self._until_durable(answered)
        self._observe(task, settled, duration_s=monotonic() - started)
        return settled

    async def _until_durable(self, answered: Answered) -> Settled:
        """S7, repeated until it commits. Nothing else may be done with a received token before that."""
        wait_s = 0.05
        while True:  # bounded by the process's life: to stop trying would lose a token that the provider has rotated
            try:
                return await self._settle(answered)
            except Exception as error:  # noqa: BLE001 - whatever the database raises, the answer must not be lost
                self._observer.settle_failed(
                    answered.attempt.account_id, answered.attempt.correlation_id, type(error).__name__
                )
                await self._clocks.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)

    async def _write_intents(self, intents: Sequence[WriteAhead]) -> Sequence["Written | None"]:
        """S4. The time to send counts from before the statement: the row's quarantine begins within it."""
        send_before = self._clocks.boottime() + self._times.write_ahead.total_seconds()
        async with self._ledgers() as ledger:
            sent = await ledger.write_ahead(intents)
        moments = [sent.get(intent.leased.attempt_id) for intent in intents]
        return [None if moment is None else Written(moment, send_before) for moment in moments]

    def _observe(self, task: RefreshTask, settled: Settled, *, duration_s: float) -> None:
        if settled.settlement is None:
            return
        now = settled.settled_at
        late_s = 0.0 if now is None else max((now - task.leased.due_since).total_seconds(), 0.0)
        self._observer.settled(settled.answered, settled.settlement, duration_s=duration_s, late_s=late_s)


def _known_life(leased: Leased) -> timedelta:
    """The access token's life where an answer tells none: the last one that a refresh brought.

    What an import brought is no measure: it may have been nearly over.
    """
    lifetime = leased.version.lifetime
    measured = leased.version.generation > 1 and lifetime is not None and lifetime > timedelta(0)
    return lifetime if measured and lifetime is not None else _UNKNOWN_LIFETIME
