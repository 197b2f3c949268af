"""The rest of a worker's ports, with failpoints around their calls."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.adapters.failpoints.striking import Failpoints
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.application.custody import Taken
from tokenkeep.application.ports import CustodyLocks, ReadyConnection, Refreshers, Spool, TokenEndpoints
from tokenkeep.application.refreshing import SpooledAnswer
from tokenkeep.domain.ids import AccountId, AttemptId
from tokenkeep.domain.refresher import RefreshCall
from tokenkeep.domain.verdict import Verdict
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest


class FailingLocks:
    """Custody locks with failpoints."""

    def __init__(self, locks: CustodyLocks, points: Failpoints) -> None:
        self._locks = locks
        self._points = points

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[Taken]:
        """As the port says."""
        self._points.hit(Point.LOCK_BEFORE)
        taken = await self._locks.take(account_ids, owner)
        if taken:
            self._points.hit(Point.LOCK_TAKEN)
        return taken

    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None:
        """As the port says."""
        await self._locks.renew(held)

    async def give_back(self, held: Sequence[tuple[AccountId, str, int | None]]) -> None:
        """As the port says. Locks of accounts that were not leased are no refresh's, and reach no point."""
        refreshed = any(generation is not None for _, _, generation in held)
        if refreshed:
            self._points.hit(Point.RELEASE_BEFORE)
        await self._locks.give_back(held)
        if refreshed:
            self._points.hit(Point.RELEASED)

    async def correct(self, account_id: AccountId, generation: int) -> None:
        """As the port says."""
        await self._locks.correct(account_id, generation)


class FailingSpool:
    """A spool with failpoints."""

    def __init__(self, spool: Spool, points: Failpoints) -> None:
        self._spool = spool
        self._points = points

    async def write(self, entry: SpooledAnswer) -> None:
        """As the port says."""
        self._points.hit(Point.SPOOL_BEFORE)
        await self._spool.write(entry)
        self._points.hit(Point.SPOOLED)

    async def remove(self, attempt_id: AttemptId) -> None:
        """As the port says."""
        await self._spool.remove(attempt_id)

    async def entries(self, *, of_age: timedelta = timedelta(0)) -> Sequence[SpooledAnswer]:
        """As the port says."""
        return await self._spool.entries(of_age=of_age)


class FailingEndpoints:
    """Token endpoints with failpoints."""

    def __init__(self, endpoints: TokenEndpoints, points: Failpoints) -> None:
        self._endpoints = endpoints
        self._points = points

    @asynccontextmanager
    async def lend(
        self, request: TokenRequest, *, reuse_window_s: float, deadline: float
    ) -> AsyncIterator[ReadyConnection]:
        """As the port says."""
        self._points.hit(Point.CONNECT_BEFORE)
        async with self._endpoints.lend(request, reuse_window_s=reuse_window_s, deadline=deadline) as connection:
            self._points.hit(Point.CONNECTED)
            with_hook = connection if isinstance(connection, Connection) else None
            if with_hook is not None:
                with_hook.on_sent = self._sent
            try:
                yield _FailingConnection(connection, self._answered)
            finally:
                if with_hook is not None:
                    with_hook.on_sent = None

    def _sent(self) -> None:
        self._points.hit(Point.SENT)

    def _answered(self) -> None:
        self._points.hit(Point.ANSWERED)


class FailingRefreshers:
    """Refreshers with a failpoint behind each call. What they do in between, and when, is theirs."""

    def __init__(self, refreshers: Refreshers, points: Failpoints) -> None:
        self._refreshers = refreshers
        self._points = points

    def __contains__(self, name: object) -> bool:
        return name in self._refreshers

    async def call(self, call: RefreshCall, *, deadline: float, send_before: float) -> Answer | NoAnswer | Verdict:
        """As the port says."""
        answer = await self._refreshers.call(call, deadline=deadline, send_before=send_before)
        self._points.hit(Point.ANSWERED)
        return answer


class _FailingConnection:
    """A connection that says when an exchange is over."""

    def __init__(self, connection: ReadyConnection, on_answer: Callable[[], None]) -> None:
        self._connection = connection
        self._on_answer = on_answer

    async def exchange(self, request: TokenRequest, *, deadline: float, send_before: float) -> Answer | NoAnswer:
        """As the port says."""
        answer = await self._connection.exchange(request, deadline=deadline, send_before=send_before)
        self._on_answer()
        return answer
