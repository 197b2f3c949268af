"""The run of a demo: connects accounts, revokes one now and then, watches what tokenkeep makes of it."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tokenkeep.adapters.demo_provider import DemoProvider
from tokenkeep.cli.demonstration.api import DemoApi
from tokenkeep.cli.demonstration.board import Board, Row
from tokenkeep.cli.demonstration.browser import DemoBrowser
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.plan import Plan, name_of
from tokenkeep.cli.demonstration.subscriber import HeardEvent, Subscriber

_LOOK_S = 1.0

_NEVER = datetime.max.replace(tzinfo=UTC)


class Show:
    """One run against a provider, an API and a stream."""

    def __init__(
        self,
        plan: Plan,
        board: Board,
        *,
        provider: DemoProvider,
        browser: DemoBrowser,
        api: DemoApi,
        subscriber: Subscriber,
        source_id: str,
    ) -> None:
        self._plan = plan
        self._board = board
        self._provider = provider
        self._browser = browser
        self._api = api
        self._subscriber = subscriber
        self._source_id = source_id
        self._numbers = itertools.count()
        self._revoked: set[str] = set()

    async def play(
        self, *companion: Callable[[], Awaitable[None]], act: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Connect the accounts, then let it run for as long as the plan says.

        Args:
            companion: What else is to run from the beginning on, such as the screen. If it returns, the show is over.
            act: What happens to them, to its end, instead of a revocation now and then.

        Raises:
            DemoFailure: An account can't be connected at the start, or the show was over before its act.
        """
        tasks = [asyncio.ensure_future(part()) for part in (self._listen, *companion)]
        try:
            for _ in range(self._plan.accounts):
                await self._connect_next()
            parts = (self._watch, act or self._revoke_now_and_then)
            tasks += [asyncio.ensure_future(part()) for part in parts]
            for_s = self._plan.for_s if act is None else None
            # Ours end only by a mistake, which is then raised.
            done, _ = await asyncio.wait(tasks, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if act is not None and tasks[-1] not in done:
                msg = "the show was over before its end"
                raise DemoFailure(msg)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def summary(self) -> str:
        """What came of it, in one line: as the provider counted it, and how many `disabled` events were heard."""
        counters = self._provider.counters()
        presented = Counter(entry.fingerprint for entry in self._provider.presentations())
        return (
            f"{counters.grants_active + counters.grants_revoked} accounts were connected, "
            f"{counters.refreshes} refreshes granted, {len(self._revoked)} grants revoked, "
            f"{self._board.disabled} accounts disabled; "
            f"the most often that any refresh token was presented: {max(presented.values(), default=0)}"
        )

    async def _connect_next(self) -> None:
        """The next user consents, and their account is handed over."""
        user = name_of(next(self._numbers))
        account = await self._api.create_account(self._source_id, user, await self._browser.consent(user))
        self._board.see(account)
        self._board.tell(f"{user} connected an account")

    async def _listen(self) -> None:
        await self._subscriber.listen(self._hear)

    def _hear(self, event: HeardEvent) -> None:
        # Sources of earlier runs are none of this show.
        if event.source_id == self._source_id:
            self._board.hear(event)

    async def _watch(self) -> None:
        """Keep the board at what the API says. An API that is away for a moment is asked again."""
        while True:
            try:
                await self._look()
            except DemoFailure as failure:
                self._board.tell(str(failure))
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        accounts = await self._api.active_accounts(self._source_id)
        listed = {account["id"] for account in accounts}
        gone = [row.id for row in self._board.active if row.id not in listed]
        accounts += [await self._api.account(account_id) for account_id in gone]
        for account in accounts:
            if self._board.knows(account["id"]):
                self._board.see(account)

    async def _revoke_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._plan.revoke_every_s)
            try:
                await self._revoke_one()
            except DemoFailure as failure:
                self._board.tell(str(failure))

    async def _revoke_one(self) -> None:
        """The provider ends a grant: that of the account whose token runs out next, so that it shows soon."""
        if len(self._candidates()) <= self._plan.fewest_active:
            await self._connect_next()
        victim = min(self._candidates(), key=lambda row: row.expires_at or _NEVER)
        grant = self._provider.active_grant(victim.name)
        if grant is None:
            return
        self._provider.revoke_grant(grant.id)
        self._revoked.add(victim.id)
        self._board.tell(f"the provider revoked {victim.name}'s grant")

    def _candidates(self) -> list[Row]:
        """Active accounts with a living grant: one whose end is not noticed yet is not counted."""
        return [row for row in self._board.active if row.id not in self._revoked]
