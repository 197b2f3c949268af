"""Changes of state, one after the other, and when each was committed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.application.manage_sources import PauseSource
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.bootstrap import Foundation
from tokenkeep.cli.bench.accounts import CALLER, NOWHERE, add_accounts, add_source
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.domain.ids import AccountId, IdKind, format_id

Mark = tuple[str, int]
"""An event, by its subject's id and its sequence."""

_WRITERS = 16


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
            await toggle(work, CALLER, account_id, on=on, correlation_id="cor_bench")
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
    works = PostgresWorks(foundation.database)
    source_id = await add_source(installation, NOWHERE)
    made = await add_accounts(installation, source_id, accounts)
    async with works() as work:
        await PauseSource()(work, CALLER, source_id)
    async with foundation.database.reading() as connection:
        rows = await connection.execute(text("SELECT subject, max(sequence) AS last FROM events GROUP BY subject"))
        told = {row.subject: int(row.last) for row in rows}
    return Transitions(foundation, made, {account_id: told[account_id] for account_id in made})
