"""A fleet in the database: every account as a refresh of its provider's leaves it, sealed, and somewhere between two refreshes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.cli.bench.accounts import add_source
from tokenkeep.cli.bench.fleet.providers import OPTIONS, PROVIDERS, FleetProvider, Trouble
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.account import Account, AccountState, AuthType, Custody
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.due_time import next_refresh_at
from tokenkeep.domain.ids import AccountId, SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import require_database

_AT_ONCE: Final = 5_000
_SEED: Final = 11
_GENERATION: Final = 2
_ENVIRONMENT: Final = "default"
_COLUMNS: Final = {
    "accounts": (
        "id", "source_id", "environment", "provider", "auth_type", "external_id", "state", "custody",
    ),
    "leases": (
        "account_id", "source_id", "fence", "sent_at", "presented_generation", "obtained_at", "next_refresh_at", "due_at",
        "event_sequence",
    ),
    "credentials": (
        "account_id", "epoch", "generation", "installed_fence", "key_id", "wrapped_key", "access_ciphertext",
        "refresh_ciphertext", "token_type", "scopes", "obtained_at", "expires_at", "last_refreshed_at",
    ),
}  # fmt: skip
# Who has come due while all of them were made counts as refreshed at those moments: whole rounds later he is where he was.
_ROUNDS: Final = """
SELECT account_id, (next_refresh_at - obtained_at)
                   * ceil(extract(epoch FROM :start - next_refresh_at) / extract(epoch FROM next_refresh_at - obtained_at)) AS rounds
  FROM leases WHERE due_at < :start
"""
_GO_ON: Final = (
    text(f"""
UPDATE credentials AS c
   SET obtained_at = c.obtained_at + rounds, expires_at = c.expires_at + rounds, last_refreshed_at = c.obtained_at + rounds
  FROM ({_ROUNDS}) AS r WHERE c.account_id = r.account_id
"""),  # noqa: S608 - only our own statement is put in
    text(f"""
UPDATE leases AS l
   SET obtained_at = l.obtained_at + rounds, sent_at = l.obtained_at + rounds, next_refresh_at = l.next_refresh_at + rounds,
       due_at = l.due_at + rounds
  FROM ({_ROUNDS}) AS r WHERE l.account_id = r.account_id
"""),  # noqa: S608 - as above
)
_TIDY: Final = ("sources", "accounts", "credentials", "leases")


@dataclass(frozen=True, slots=True)
class FleetSource:
    """A provider, and the source that all its accounts belong to."""

    provider: FleetProvider
    id: SourceId


def token_urls(url: str, closing_url: str) -> list[str]:
    """Where the providers' token endpoints are; of whoever has an outage at the address that is closed then."""
    return [f"{closing_url if one.trouble is Trouble.OUT else url}/{one.number}/token" for one in PROVIDERS]


def write_provider_files(directory: Path, urls: Sequence[str]) -> None:
    """What the catalogue is to say of the forty, each a service of its own."""
    for one, url in zip(PROVIDERS, urls, strict=True):
        facts = {"name": f"Fleet {one.number}", "extends": "generic-oauth2", "token_url": url, **OPTIONS[one.rotation]}
        lines = [f"{name}: {value if value.isdigit() else repr(value)}" for name, value in facts.items()]
        (directory / f"{one.slug}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


async def add_sources(installation: Installation, urls: Sequence[str]) -> list[FleetSource]:
    """A source for each provider; the token endpoints are there."""
    return [
        FleetSource(one, await add_source(installation, url, provider=one.slug))
        for one, url in zip(PROVIDERS, urls, strict=True)
    ]


async def add_fleet(
    installation: Installation, sources: list[FleetSource], count: int, *, now: datetime, advance: Advance
) -> None:
    """So many accounts, over the sources by their shares, evenly over the round that each is in at `now`.

    Their refresh tokens read `rt-NUMBER-GENERATION`, their external ids are the numbers, from 1 on.
    """
    url = require_database(installation.foundation.settings).reveal()
    connection = await asyncpg.connect(url)
    try:
        # Nobody sees an account before what belongs to it is there, so foreign keys need not be looked up row by row.
        await connection.execute("SET session_replication_role = replica")
        making = _Making(installation, sources, now)
        for first in range(1, count + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, count)
            rows = making.rows(first, last)
            async with connection.transaction():
                for table, columns in _COLUMNS.items():
                    await connection.copy_records_to_table(table, records=rows[table], columns=columns)
            advance(f"making {count:,} accounts", last, count)
    finally:
        await connection.close()


async def go_on_until(engine: AsyncEngine, start: datetime) -> None:
    """Have everybody who is due before that refreshed as by magic; then tidy up, as autovacuum would by and by."""
    async with engine.begin() as connection:
        for statement in _GO_ON:
            await connection.execute(statement, {"start": start})
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in _TIDY:
            await outside.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
        await outside.exec_driver_sql("CHECKPOINT")


class _Making:
    """Makes rows."""

    def __init__(self, installation: Installation, sources: list[FleetSource], now: datetime) -> None:
        self._vault = Vault(Keyring.parse(installation.keyring))
        self._sealer = TokenSealer(self._vault)
        self._policy = installation.foundation.policy
        self._now = now
        self._draw = Random(_SEED)  # noqa: S311 - a draw of examples
        self._sources = sources
        self._shares = [one.provider.share for one in sources]

    def rows(self, first: int, last: int) -> dict[str, list[tuple[Any, ...]]]:
        """Those of accounts with these numbers, by table."""
        made: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
        of = self._draw.choices(self._sources, self._shares, k=last - first + 1)
        for number, source in zip(range(first, last + 1), of, strict=True):
            for table, row in zip(_COLUMNS, self._account(number, source), strict=True):
                made[table].append(row)
        return made

    def _account(self, number: int, source: FleetSource) -> Iterator[tuple[Any, ...]]:
        account_id, slug = AccountId(new_id()), source.provider.slug
        account = Account(account_id, source.id, _ENVIRONMENT, slug, AuthType.OAUTH2, AccountState.ACTIVE, Custody.HELD)
        version, due_at = self._schedule(account, timedelta(seconds=source.provider.life_s))
        key = self._vault.new_data_key(account_id)
        tokens = TokenSet(Secret(f"at-{number}-{_GENERATION}"), refresh_token=Secret(f"rt-{number}-{_GENERATION}"))
        sealed = self._sealer.seal(account_id, key, tokens, version, kept=None)
        obtained_at = version.obtained_at
        yield account_id, source.id, _ENVIRONMENT, slug, "oauth2", str(number), "active", "held"
        yield account_id, source.id, 1, obtained_at, 1, obtained_at, due_at, due_at, 2
        yield (
            account_id, 1, _GENERATION, 1, key.key_id, key.wrapped, sealed.access_ciphertext, sealed.refresh_ciphertext,
            sealed.token_type, [], obtained_at, version.expires_at, obtained_at,
        )  # fmt: skip

    def _schedule(self, account: Account, life: timedelta) -> tuple[CredentialVersion, datetime]:
        """What it was given and when it is due: `now` is at any moment between the two."""

        def given(at: datetime) -> CredentialVersion:
            return CredentialVersion(1, _GENERATION, 1, at, at + life, None, refreshable=True)

        due_at = next_refresh_at(given(self._now), account, self._policy)
        assert due_at is not None  # noqa: S101 - it can be refreshed, and ends
        whole = due_at - self._now
        passed = whole * self._draw.random()
        return given(self._now - passed), due_at - passed
