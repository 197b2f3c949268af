"""What `tokenkeep bench vend` measures: warm reads of tokens through the real API, beside its server and a reference."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from cryptography.fernet import Fernet
from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.cli.bench.vend import naive
from tokenkeep.cli.bench.vend.load import Load, Target, drive, require_generator
from tokenkeep.cli.bench.vend.store import MARK, fill, new_key, new_source
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import require_database

CONNECTIONS = (1, 16, 64, 256)
TYPICAL = 64
_ADMIN_KEY = "tk_bench-admin-key"
_WARM_UP_S = 2.0
_SAMPLE = 100
# A key's own limit is there, and above anything that this machine can serve.
_RATE_PER_S = 1_000_000
_AUDITED = text("SELECT coalesce(sum(count), 0) AS reads, count(*) AS rows FROM audit_log WHERE action = 'token.vend'")


@dataclass(frozen=True, slots=True)
class VendFigures:
    """Reads by how many connections ask at once, of accounts chosen at random and of one that all of them ask for.

    Attributes:
        random: By number of connections.
        hot: The same.
        hello: The same server with nothing behind it, over 64 connections: the better of two measurements, before and after.
        naive: The reference, over 64 connections.
        reads: How many tokens were read of the API in all; each was the right one, and each is in the audit trail.
        audit_rows: How many rows of the trail those took.
    """

    random: dict[int, Load]
    hot: dict[int, Load]
    hello: Load
    naive: Load
    reads: int
    audit_rows: int


async def measure_vend(*, accounts: int, seconds: float, advance: Advance) -> VendFigures:
    """Measure on an installation of its own.

    Raises:
        SettingsError: The load generator is not installed.
        RuntimeError: An answer was wrong, or a read is missing in the audit trail.
    """
    require_generator()
    async with temporary_installation() as installation:
        steps = _Steps(advance, 2 * len(CONNECTIONS) + 3)
        async with _hello(installation) as hello_url:
            hello_target = Target(hello_url, "tk_none", "{}")
            hellos = [await _measured(hello_target, ["acc_1"], seconds=seconds)]
            steps.advance()
            async with _api(installation) as (url, admin):
                key = await new_key(admin)
                tokens = await fill(admin, await new_source(admin), accounts=accounts)
                target = Target(url, key.reveal(), MARK)
                reads, by_random, hot = await _read(target, tokens, seconds, steps)
            hellos.append(await _measured(hello_target, ["acc_1"], seconds=seconds))
            steps.advance()
        audited, audit_rows = await _audited(installation)
        if audited != reads:
            raise RuntimeError(f"{reads} reads were answered, and {audited} are in the audit trail")
        reference = await _naive(installation, key, tokens, seconds)
        steps.advance()
    hello = max(hellos, key=lambda load: load.per_s)
    return VendFigures(by_random, hot, hello, reference, reads, audit_rows)


@dataclass(slots=True)
class _Steps:
    """How far it has come."""

    tell: Advance
    total: int
    done: int = field(default=0)

    def advance(self) -> None:
        self.done += 1
        self.tell("reads", self.done, self.total)


async def _read(
    target: Target, tokens: Mapping[str, str], seconds: float, steps: _Steps
) -> tuple[int, dict[int, Load], dict[int, Load]]:
    """Every kind of reading. How many reads there were in all, and what each kind gave."""
    every, one = list(tokens), list(tokens)[:1]
    warm_up, checked = await asyncio.gather(
        drive(target, every, connections=TYPICAL, seconds=min(_WARM_UP_S, seconds)), _check(target, tokens)
    )
    reads = warm_up.requests + checked
    found: dict[str, dict[int, Load]] = {"random": {}, "hot": {}}
    for connections in CONNECTIONS:
        for kind, chosen in (("random", every), ("hot", one)):
            load = await drive(target, chosen, connections=connections, seconds=seconds)
            found[kind][connections] = load
            reads += load.requests
            steps.advance()
    return reads, found["random"], found["hot"]


async def _check(target: Target, tokens: Mapping[str, str]) -> int:
    """Read tokens amid the load by a client that looks at all that comes. How many there were."""
    names = random.Random(0).sample(sorted(tokens), min(_SAMPLE, len(tokens)))  # noqa: S311  # a sample
    headers = {"Authorization": f"Bearer {target.key}"}
    async with httpx.AsyncClient(base_url=target.url, headers=headers, trust_env=False) as client:
        for name in names:
            data = (await client.post(f"/v1/accounts/{name}/token")).raise_for_status().json()["data"]
            wanted = {"Authorization": f"Bearer {tokens[name]}"}
            if (data["access_token"], data["headers"]) != (tokens[name], wanted):
                raise RuntimeError(f"{name} got another token than its own")
    return len(names)


async def _measured(target: Target, accounts: Sequence[str], *, seconds: float) -> Load:
    await drive(target, accounts, connections=TYPICAL, seconds=min(_WARM_UP_S, seconds))
    return await drive(target, accounts, connections=TYPICAL, seconds=seconds)


@asynccontextmanager
async def _api(installation: Installation) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    limits = {"rate_limit_per_s": _RATE_PER_S, "rate_limit_burst": _RATE_PER_S, "admin_key": Secret(_ADMIN_KEY)}
    async with installation.serving(**limits) as url:
        headers = {"Authorization": f"Bearer {_ADMIN_KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as admin:
            yield url, admin


@asynccontextmanager
async def _hello(installation: Installation) -> AsyncIterator[str]:
    async with installation.program("tokenkeep.cli.bench.vend.hello") as url:
        yield url


async def _audited(installation: Installation) -> tuple[int, int]:
    async with installation.foundation.database.reading() as connection:
        row = (await connection.execute(_AUDITED)).one()
        return int(row.reads), int(row.rows)


async def _naive(installation: Installation, key: Secret, tokens: Mapping[str, str], seconds: float) -> Load:
    engine = create_engine(require_database(installation.foundation.settings))
    cipher_key = Fernet.generate_key()
    try:
        ends = datetime.now(UTC) + timedelta(days=1)
        await naive.fill(engine, Fernet(cipher_key), key.reveal(), tokens, ends)
    finally:
        await engine.dispose()
    async with installation.program("tokenkeep.cli.bench.vend.naive", cipher_key.decode()) as url:
        return await _measured(Target(url, key.reveal(), MARK), list(tokens), seconds=seconds)
