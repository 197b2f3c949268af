"""The loop that gives accepted events their effect."""

import asyncio

import structlog

from tokenkeep.adapters.postgres.inbox import PostgresInboxQueue
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.application.apply_events import ApplyEvents
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.inbox import InboxObserver, Outcome
from tokenkeep.application.ports import RefreshQueue
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.bootstrap import Foundation
from tokenkeep.domain.ids import AccountId, IdKind, format_id

_SWEEP_S = 1.0
_ACCOUNTS = 64
_AT_ONCE = 4
_IN_A_ROW = 100
"""How many events of one account are worked off before the others get their turn again."""

_log = structlog.get_logger("tokenkeep.worker")


class InboxApplication:
    """Works off what the inbox holds, a few accounts at a time, each account's events one after another."""

    def __init__(self, queue: PostgresInboxQueue, apply: ApplyEvents, observer: InboxObserver) -> None:
        self._queue = queue
        self._apply = apply
        self._observer = observer
        self._waiting = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def notice(self) -> None:
        """There is something to do."""
        self._waiting.set()

    async def run(self) -> None:
        """Work until cancelled. What is cut off in the middle was not done, and comes up again."""
        while True:  # bounded by the process's life
            self._waiting.clear()
            try:
                while await self.round():
                    pass
            except Exception as error:  # noqa: BLE001 - whatever failed, the next round finds what is left
                _log.warning("inbox_postponed", error=type(error).__name__)
            try:
                await asyncio.wait_for(self._waiting.wait(), _SWEEP_S)
            except TimeoutError:
                continue

    async def round(self) -> int:
        """Work off events of those that have waited longest; returns how many events that were."""
        accounts = await self._queue.pending(_ACCOUNTS)
        return sum(await asyncio.gather(*(self._work_off(one) for one in accounts)))

    async def _work_off(self, account_id: AccountId) -> int:
        async with self._slots:
            try:
                return await self._apply(account_id, most=_IN_A_ROW)
            except Exception as error:  # noqa: BLE001 - one account's trouble must not stop the others
                cause = type(error).__name__
        named = format_id(IdKind.ACCOUNT, account_id)
        try:
            postponed = await self._queue.postpone(account_id, cause)
        except Exception:  # whatever it was goes on to the caller, who does not know what was wrong with this account
            _log.warning("inbox_event_kept", account_id=named, error=cause)
            raise
        if postponed is None:
            return 0
        kind, caused_by = postponed.type.value, postponed.correlation_id
        if not postponed.given_up:
            _log.warning("inbox_event_postponed", account_id=named, type=kind, error=cause, correlation_id=caused_by)
            return 0
        self._observer.inbox_event_taken(kind, Outcome.FAILED.value)
        _log.error("inbox_event_failed", account_id=named, type=kind, error=cause, correlation_id=caused_by)
        return 1  # what waited behind it may go on


def wire_inbox(
    foundation: Foundation, queue: RefreshQueue, stores: CredentialStores, sealer: TokenSealer
) -> InboxApplication:
    """The loop over real adapters."""
    database = foundation.database
    apply = ApplyEvents(
        works=PostgresWorks(database),
        toggle=ToggleAccount(foundation.catalogue),
        sealer=sealer,
        stores=stores,
        queue=queue,
        links=foundation.links,
        observer=foundation.metrics,
    )
    return InboxApplication(PostgresInboxQueue(database), apply, foundation.metrics)
