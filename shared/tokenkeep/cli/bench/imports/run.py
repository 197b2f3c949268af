"""What `tokenkeep bench import` measures: how many accounts a second the API takes over, in one import and in several at once."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.cli.bench.accounts import NOWHERE, add_source
from tokenkeep.cli.bench.imports import naive
from tokenkeep.cli.bench.imports.client import import_accounts, lines
from tokenkeep.cli.bench.imports.limit import copy_again
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import require_database

_ENVIRONMENT = "default"
_KEY = Secret("tk_bench-only-and-gone-with-its-installation")
_NAIVE_SHARE = 20
_SIZES = text("""
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
 WHERE relname IN ('accounts', 'imported_grants', 'leases', 'credentials', 'events', 'audit_log')
""")


@dataclass(frozen=True, slots=True)
class ImportFigures:
    """Accounts a second.

    Attributes:
        accounts_per_s: One import at one API process.
        two_imports_per_s: Two imports at once at one API process, together.
        two_processes_per_s: Two imports at once, each at an API process of its own, together.
        limit_per_s: The same rows copied into the same tables by one connection.
        naive_accounts_per_s: The reference.
        bytes_per_account: What the database holds of an account that was just imported, tables and indexes, events and audit
            trail with it.
        wal_bytes_per_account: What its import wrote to the log.
    """

    accounts_per_s: float
    two_imports_per_s: float
    two_processes_per_s: float
    limit_per_s: float
    naive_accounts_per_s: float
    bytes_per_account: float
    wal_bytes_per_account: float


async def measure_import(*, accounts: int, advance: Advance) -> ImportFigures:
    """Measure on an installation of its own, with so many accounts in each import."""
    async with temporary_installation(large=True) as installation, AsyncExitStack() as serving:
        urls = [await serving.enter_async_context(installation.serving(admin_key=_KEY)) for _ in range(2)]
        run = _Run(installation, format_id(IdKind.SOURCE, await add_source(installation, NOWHERE)))
        await run.take_in(urls, accounts=250)  # whatever is made once has been made
        before = await run.written()
        one = await run.take_in(urls[:1], accounts=accounts)
        after = await run.written()
        advance("imports", 1, 5)
        two = await run.take_in([urls[0], urls[0]], accounts=accounts)
        advance("imports", 2, 5)
        apart = await run.take_in(urls, accounts=accounts)
        advance("imports", 3, 5)
        limit = await copy_again(require_database(installation.foundation.settings), run.imported)
        advance("imports", 4, 5)
        reference = await _naive(installation, max(1, accounts // _NAIVE_SHARE))
        advance("imports", 5, 5)
    size, wal = ((new - old) / accounts for new, old in zip(after, before, strict=True))
    return ImportFigures(one, two, apart, limit, reference, size, wal)


class _Run:
    """Imports, one after the other or at once, none of which knows a grant of another one's."""

    def __init__(self, installation: Installation, source: str) -> None:
        self._database = installation.foundation.database
        self._source = source
        self.imported = 0

    async def take_in(self, urls: Sequence[str], *, accounts: int) -> float:
        """One import at each of these; returns accounts a second of all together."""
        loads = [lines(self.imported + number * accounts, accounts) for number in range(len(urls))]
        began = time.perf_counter()
        created = await asyncio.gather(
            *(
                import_accounts(url, _KEY, self._source, _ENVIRONMENT, load)
                for url, load in zip(urls, loads, strict=True)
            )
        )
        took = time.perf_counter() - began
        if sum(created) != len(urls) * accounts:
            msg = f"{sum(created)} accounts were created of {len(urls) * accounts}"
            raise RuntimeError(msg)
        self.imported += sum(created)
        return sum(created) / took

    async def written(self) -> tuple[int, int]:
        """Bytes in the tables of accounts and their indexes, and in the log."""
        async with self._database.reading() as connection:
            size = (await connection.execute(_SIZES)).scalar_one()
            wal = (await connection.execute(text("SELECT pg_current_wal_insert_lsn() - '0/0'"))).scalar_one()
        return int(size), int(wal)


async def _naive(installation: Installation, accounts: int) -> float:
    engine = create_engine(
        require_database(installation.foundation.settings), pool_size=2, process="tokenkeep bench naive"
    )
    try:
        await naive.create_table(engine)
        load = lines(0, accounts)
        began = time.perf_counter()
        return await naive.take_in(engine, load) / (time.perf_counter() - began)
    finally:
        await engine.dispose()
