"""The stores, as these commands reach them: directly, by the settings of the processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, load_settings, require_redis

_EMBEDDED = Path("valkey") / "valkey.sock"


class StoreAway(TokenkeepError):
    """A store does not answer, or not as it should."""


@asynccontextmanager
async def open_redis() -> AsyncIterator["redis.asyncio.Redis"]:
    """The Redis of the settings; without one, the embedded one of the data directory.

    Raises:
        SettingsError: There is neither.
        StoreAway: It can't be had.
    """
    settings = load_settings()
    client = connect(_redis_url(settings))
    try:
        yield client
    except (RedisError, OSError) as error:
        msg = f"Redis can't be had ({type(error).__name__})"
        raise StoreAway(msg) from None
    finally:
        await client.aclose()


@asynccontextmanager
async def open_database() -> AsyncIterator[Database | None]:
    """The database of the settings; None where they name none.

    Raises:
        StoreAway: It can't be had.
    """
    url = load_settings().database_url
    if url is None:
        yield None
        return
    database = Database(create_engine(url, pool_size=1, process="tokenkeep events"))
    try:
        yield database
    except (SQLAlchemyError, OSError) as error:
        msg = f"the database can't be had ({type(error).__name__})"
        raise StoreAway(msg) from None
    finally:
        await database.close()


def _redis_url(settings: Settings) -> Secret:
    socket = (settings.data_dir / _EMBEDDED).resolve()
    if settings.redis_url is None and socket.is_socket():
        return Secret(f"unix://{quote(str(socket), safe='/')}")
    return require_redis(settings)
