"""Houses side by side, one for each point, over one PostgreSQL and one Valkey."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from faults.database_clock import make_settable
from faults.house import House, open_house
from faults.lateness import Lateness
from faults.services import Nursery
from faults.terms import PROVIDERS
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderServer
from tokenkeep.adapters.embedded.postgres import EmbeddedPostgres
from tokenkeep.adapters.embedded.valkey import EmbeddedValkey
from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.adapters.postgres.address import asyncpg_url
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.domain.secret import Secret

PLOTS = 16
"""How many houses there is room for: a Valkey has so many databases."""


@dataclass(frozen=True)
class Stores:
    """The servers that all houses share. They outlive a test; what is in them does not."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    databases: Sequence[str]


@dataclass(frozen=True)
class Street:
    """The houses of one fault."""

    houses: Sequence[House]
    stores: Stores

    async def each(self, do: Callable[[House], Awaitable[list[str] | None]]) -> None:
        """Does something in every house at once. What goes wrong in a house is noted in it and stops no other."""

        async def one(house: House) -> None:
            try:
                house.wrong += await do(house) or []
            except (AssertionError, TimeoutError) as error:
                house.wrong.append(str(error) or type(error).__name__)

        await asyncio.gather(*(one(house) for house in self.houses))

    def wrong(self) -> str:
        """What went wrong, a line each."""
        return "\n".join(f"{house.name}: {line}" for house in self.houses for line in house.wrong)


@asynccontextmanager
async def open_street(
    stores: Stores, nursery: Nursery, directory: Path, cases: Mapping[Point, str], **changes: str
) -> AsyncIterator[Street]:
    """A house for each of these points, at a provider of this kind, with these settings besides."""
    assert len(cases) <= PLOTS
    async with AsyncExitStack() as stack:
        lateness = Lateness()
        watching = asyncio.create_task(lateness.watch())
        stack.callback(watching.cancel)
        servers, browsers = {}, {}
        for kind, options in PROVIDERS.items():
            servers[kind] = await stack.enter_async_context(ProviderServer(DemoProvider(options)))
            client = httpx.AsyncClient(base_url=servers[kind].url, timeout=20)
            browsers[kind] = await stack.enter_async_context(client)
        houses = []
        for number, (point, kind) in enumerate(cases.items()):
            opened = open_house(
                kind,
                point,
                database_url=stores.databases[number],
                redis_url=f"{stores.valkey.url}?db={number}",
                directory=directory / point.value,
                nursery=nursery,
                server=servers[kind],
                http=browsers[kind],
                lateness=lateness,
                **changes,
            )
            houses.append(await stack.enter_async_context(opened))
        await houses[0].road.foundation.redis.flushall()
        yield Street(houses, stores)


def lay_out(postgres: EmbeddedPostgres) -> list[str]:
    """The databases, each at the present schema and with a clock that can be set."""
    migrate(Secret(postgres.url))
    return asyncio.run(_lay_out(postgres))


async def _lay_out(postgres: EmbeddedPostgres) -> list[str]:
    template = asyncpg_url(Secret(postgres.url))
    engine = create_async_engine(template.set(database="postgres"), isolation_level="AUTOCOMMIT")
    names = [f"plot{number}" for number in range(PLOTS)]
    async with engine.connect() as connection:
        for name in names:
            await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}"'))
    await engine.dispose()
    for name in names:
        own = create_async_engine(template.set(database=name))
        async with own.begin() as connection:
            await make_settable(connection, name)
        await own.dispose()
    plain = template.set(drivername="postgresql")
    return [plain.set(database=name).render_as_string(hide_password=False) for name in names]
