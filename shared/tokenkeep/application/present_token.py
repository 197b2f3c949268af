"""Present a refresh token: connect, write the intent ahead, send, read (custody protocol, S3 to S6)."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.application.backpressure import Backpressure
from tokenkeep.application.batching import Batcher
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.machine_requests import MachineRequests
from tokenkeep.application.ports import Ledgers, ReadyConnection, RefreshObserver, TokenEndpoints
from tokenkeep.application.refresh_hooks import RefreshHooks
from tokenkeep.application.refreshing import Leased, RefreshTask, RefreshTimes, WriteAhead
from tokenkeep.application.sealing import REFRESH, TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.credential import UNKNOWN_LIFETIME
from tokenkeep.domain.errors import ConnectFailed, InvalidInput, NotStored, StoreUnavailable, VaultError
from tokenkeep.domain.refresher import RefreshCall
from tokenkeep.domain.rotation import Quarantine, RotationKind, may_retry_at_once
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Granted, NotSent, Revoked, Unavailable, Verdict, concerning_the_account
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.classify import classify
from tokenkeep.providers.discretion import without_secrets
from tokenkeep.providers.entry import Presented as Presents
from tokenkeep.providers.hook_answers import read_hook_answer
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.token_request import refresh_request

_REST = timedelta(seconds=5)
"""How soon an account is hinted at again whose credential store can't be had."""

_STRICT = frozenset({RotationKind.STRICT, RotationKind.STRICT_REVOKE})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, or a call of a refresher, that is ready to leave once, and the secrets in it.

    `own_client`: the account proves itself with something of its own; `alone`: with nothing else.
    """

    request: TokenRequest | RefreshCall
    presented: Secret
    hidden: tuple[Secret | None, ...]
    known_life: timedelta
    own_client: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Presented:
    """What came of presenting a token. `sent_at` by the database's clock, None when nothing was sent."""

    verdict: Verdict
    token: Secret | None = None
    sent_at: datetime | None = None
    presentations: int = 0
    own_client: bool = False


@dataclass(frozen=True, slots=True)
class _Written:
    """An intent that is journalled: `sent_at` by the database's clock, and until when, by `boottime()`, it may be sent."""

    sent_at: datetime
    send_before: float


class PresentToken:
    """Presents the refresh tokens of leased accounts, each once: again only where a second time is known to be harmless."""

    def __init__(
        self,
        *,
        backpressure: Backpressure,
        ledgers: Ledgers,
        sealer: TokenSealer,
        stores: CredentialStores,
        clients: SourceClients,
        hooks: RefreshHooks,
        endpoints: TokenEndpoints,
        observer: RefreshObserver,
        clocks: Clocks,
        times: RefreshTimes,
        quarantine: Quarantine,
    ) -> None:
        self._backpressure = backpressure
        self._ledgers = ledgers
        self._sealer = sealer
        self._stores = stores
        self._clients = clients
        self._machines = MachineRequests(clients)
        self._hooks = hooks
        self._endpoints = endpoints
        self._observer = observer
        self._clocks = clocks
        self._times = times
        self._quarantine = quarantine
        self._write_ahead = Batcher(self._write_intents, limit=200)

    async def drain(self) -> None:
        """Wait until no intent is being written."""
        await self._write_ahead.drain()

    async def __call__(self, task: RefreshTask) -> Presented | None:
        """What came of it; None when the account was fenced off, or its token replaced, before anything was sent."""
        began = self._clocks.boottime()
        prepared = await self._prepare(task)
        if prepared is None:
            await self._wait_for_the_store(task)
            return None
        if isinstance(prepared, NotSent):
            return Presented(prepared)
        with self._backpressure.elsewhere():
            try:
                async with self._connection(task, prepared) as ready:
                    written = await self._written_ahead(task)
                    if written is None:
                        return None
                    presented = await self._exchanged(task, prepared, ready, written, presentations=1)
            except ConnectFailed as failure:
                return Presented(NotSent(failure.reason))
            return await self._again(task, presented, began=began)

    async def _wait_for_the_store(self, task: RefreshTask) -> None:
        """Nothing was sent, and it is no fault of the account: it is hinted at again soon, and nothing is counted."""
        async with self._ledgers() as ledger:
            await ledger.give_back(task.leased.account_id, task.leased.fence, rest=_REST)

    async def _prepare(self, task: RefreshTask) -> Prepared | NotSent | None:
        """Everything that can fail on our side is done before anything is written or sent (S0).

        None: the store that holds the refresh token can't be had.
        """
        leased = task.leased
        if task.known_rules is None:
            self._observer.not_prepared(leased.account_id, task.correlation_id, "UnknownRules")
            return NotSent(FailureReason.INTERNAL_ERROR)
        try:
            owner, key, version = leased.account_id, leased.sealed_key, leased.version
            ciphertext = await self._stores.column(owner, key, REFRESH, leased.refresh_ciphertext, version)
            if task.rules.presented is Presents.MACHINE_CREDENTIALS:
                return self._prepare_machine(task, ciphertext)
            presented = self._sealer.open_refresh(owner, key, ciphertext, version)
            if task.rules.is_hooked:
                hooked = self._hooks(task, presented)
                return Prepared(hooked.request, presented, (presented, hooked.proof), _known_life(leased))
            client = self._clients(task.source, task.rules, leased.properties)
            request = refresh_request(task.rules, client=client, refresh_token=presented, properties=leased.properties)
        except (VaultError, InvalidInput, NotStored) as error:
            self._observer.not_prepared(leased.account_id, task.correlation_id, type(error).__name__)
            return NotSent(FailureReason.INTERNAL_ERROR)
        except StoreUnavailable as error:
            self._observer.not_prepared(leased.account_id, task.correlation_id, type(error).__name__)
            return None
        return Prepared(request, presented, (presented, client.sent_secret), _known_life(leased))

    def _prepare_machine(self, task: RefreshTask, ciphertext: bytes) -> Prepared:
        leased = task.leased
        document = self._sealer.open_machine(leased.account_id, leased.sealed_key, ciphertext, leased.version)
        machine = MachineCredentials.of(document)
        made = self._machines(task.source, task.rules, machine, leased.properties)
        return Prepared(
            made.request, document, made.hidden, _known_life(leased), own_client=machine.are_its_own, alone=made.alone
        )

    def _connection(self, task: RefreshTask, prepared: Prepared) -> AbstractAsyncContextManager[ReadyConnection | None]:
        """S3: a connection that is ready before the intent is written. Its failure is no doubt: nothing was sent.

        A refresher makes its connections itself, after the intent.
        """
        request = prepared.request
        if isinstance(request, RefreshCall):
            return nullcontext()
        strict = task.rules.rotation.kind in _STRICT
        window = self._times.strict_reuse_window if strict else self._times.reuse_window
        deadline = self._clocks.loop_time() + (self._times.lease / 3).total_seconds()
        return self._endpoints.lend(request, reuse_window_s=window.total_seconds(), deadline=deadline)

    async def _written_ahead(self, task: RefreshTask) -> _Written | None:
        """S4: journal the intent. None when the account was fenced off, or its token replaced: its lease is given back."""
        intent = WriteAhead(
            leased=task.leased,
            trigger=task.trigger,
            correlation_id=task.correlation_id,
            secret_version=task.source.secret_version,
            quarantine_s=self._quarantine.span(task.rules.rotation).total_seconds(),
        )
        with self._backpressure.here():
            written = await self._write_ahead(intent)
        if written is None:
            self._observer.fenced_off(task.leased.account_id, task.correlation_id)
            async with self._ledgers() as ledger:
                await ledger.give_back(task.leased.account_id, task.leased.fence)
        return written

    async def _exchanged(
        self,
        task: RefreshTask,
        prepared: Prepared,
        ready: ReadyConnection | None,
        written: _Written,
        *,
        presentations: int,
    ) -> Presented:
        """S5 and S6: let the token leave, read the answer."""
        request = prepared.request
        deadline = self._clocks.loop_time() + self._times.provider_deadline.total_seconds()
        answer: Answer | NoAnswer | Verdict
        if isinstance(request, RefreshCall):
            answer = await self._hooks.refreshers.call(request, deadline=deadline, send_before=written.send_before)
        else:
            assert ready is not None  # noqa: S101 - a request has a connection
            answer = await ready.exchange(request, deadline=deadline, send_before=written.send_before)
        sent_at = written.sent_at
        verdict = _read(answer, task, sent_at, prepared)
        if prepared.alone:
            verdict = concerning_the_account(verdict)
        verdict = without_secrets(verdict, *prepared.hidden)
        return Presented(verdict, prepared.presented, sent_at, presentations, prepared.own_client)

    async def _again(self, task: RefreshTask, first: Presented, *, began: float) -> Presented:
        """An answer was lost. Where the provider gives the same successor once more, the holder asks for it at once.

        The same lease covers it: its quarantine runs anew from each presentation. Whatever fails on the way leaves the doubt
        as it was.
        """
        latest = first
        while self._may_retry(task, latest, since_s=self._clocks.boottime() - began):
            prepared = await self._prepare(task)  # anew: an assertion is good for one presentation
            if not isinstance(prepared, Prepared):
                return latest
            try:
                async with self._connection(task, prepared) as ready:
                    written = await self._present_again(task)
                    if written is None:
                        return latest
                    seen = await self._exchanged(task, prepared, ready, written, presentations=latest.presentations + 1)
            except Exception as error:  # noqa: BLE001 - whatever failed, what is known of the first presentation is settled
                self._observer.not_presented_again(task.leased.account_id, task.correlation_id, error)
                return latest
            if not _says_more(seen.verdict):
                return latest
            latest = seen
        return latest

    def _may_retry(self, task: RefreshTask, latest: Presented, *, since_s: float) -> bool:
        lost = isinstance(latest.verdict, Unavailable) and latest.verdict.maybe_spent
        # A connection must be had and the answer be read before the grace ends.
        longest = self._times.lease / 3 + self._times.write_ahead + self._times.provider_deadline
        return lost and may_retry_at_once(
            task.rules.rotation,
            retries=latest.presentations - 1,
            since_sent=timedelta(seconds=since_s),
            deadline=longest,
        )

    async def _present_again(self, task: RefreshTask) -> _Written | None:
        send_before = self._clocks.boottime() + self._times.write_ahead.total_seconds()
        quarantine = self._quarantine.span(task.rules.rotation)
        async with self._ledgers() as ledger:
            sent_at = await ledger.present_again(task.leased.account_id, task.leased.fence, quarantine=quarantine)
        return None if sent_at is None else _Written(sent_at, send_before)

    async def _write_intents(self, intents: Sequence[WriteAhead]) -> Sequence["_Written | None"]:
        """S4. The time to send counts from before the statement: the row's quarantine begins within it."""
        send_before = self._clocks.boottime() + self._times.write_ahead.total_seconds()
        async with self._ledgers() as ledger:
            sent = await ledger.write_ahead(intents)
        moments = [sent.get(intent.leased.attempt_id) for intent in intents]
        return [None if moment is None else _Written(moment, send_before) for moment in moments]


def _read(answer: Answer | NoAnswer | Verdict, task: RefreshTask, sent_at: datetime, prepared: Prepared) -> Verdict:
    """What the answer means. A hook answers by the protocol of hooks, whatever the provider's own form is."""
    if not isinstance(answer, Answer | NoAnswer):
        return answer
    read = read_hook_answer if task.rules.is_hooked else classify
    return read(answer, task.rules, sent_at=sent_at, now=sent_at, fallback_lifetime=prepared.known_life)


def _says_more(verdict: Verdict) -> bool:
    """Whether a second answer counts beside a first one that was lost: it tells of the grant, or was lost as well.

    A provider that is busy now says nothing about what became of the first request.
    """
    match verdict:
        case Granted() | Revoked():
            return True
        case Unavailable(maybe_spent=maybe_spent):
            return maybe_spent
        case _:
            return False


def _known_life(leased: Leased) -> timedelta:
    """The access token's life where an answer tells none: the last one that a refresh brought.

    What an import brought is no measure: it may have been nearly over.
    """
    lifetime = leased.version.lifetime
    measured = leased.version.generation > 1 and lifetime is not None and lifetime > timedelta(0)
    return lifetime if measured and lifetime is not None else UNKNOWN_LIFETIME
