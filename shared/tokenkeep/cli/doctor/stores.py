"""Looks at the stores, and at the keyring beside them."""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from tokenkeep.adapters.postgres.address import read_address
from tokenkeep.adapters.postgres.migrate import head_revision
from tokenkeep.adapters.postgres.server_facts import PostgresServer
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.adapters.redis.server_facts import read_redis_facts
from tokenkeep.adapters.vault.keyring_file import read_keyring
from tokenkeep.application.checkup.findings import Finding, fault, ok, unseen
from tokenkeep.application.checkup.keyring import KeysInUse, judge_keyring, judge_keyring_file
from tokenkeep.application.checkup.postgres import judge_postgres
from tokenkeep.application.checkup.redis import judge_redis
from tokenkeep.cli.doctor.premises import Belongings
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, redacted_url

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_NO_STORE: Final = "set it, or run this where `tokenkeep up` has its data directory (TOKENKEEP_DATA_DIR)"


class Stores:
    """The checks of one installation's stores. What can't be had is told by one finding, and not by each check anew."""

    def __init__(self, settings: Settings, belongings: Belongings) -> None:
        self._settings = settings
        self._belongings = belongings

    async def postgres(self) -> Sequence[Finding]:
        """The database server."""
        check, url = "postgres.connection", self._belongings.database_url
        if url is None:
            return [fault(check, "TOKENKEEP_DATABASE_URL is not set", _NO_STORE)]
        try:
            async with _server(url) as server:
                facts = await server.facts()
        except SettingsError as error:
            return [fault(check, str(error), "correct the address")]
        except _AWAY as error:
            return [fault(check, f"{redacted_url(url)}: {_why(error)}", _what_helps(error))]
        return [
            ok(check, redacted_url(url)),
            *judge_postgres(facts, head=head_revision(), pool_size=self._settings.database_pool_size),
        ]

    async def redis(self) -> Sequence[Finding]:
        """Redis or Valkey."""
        check, url = "redis.connection", self._belongings.redis_url
        if url is None:
            return [fault(check, "TOKENKEEP_REDIS_URL is not set", _NO_STORE)]
        try:
            client = connect(url)
        except SettingsError as error:
            return [fault(check, str(error), "correct the address")]
        try:
            facts = await read_redis_facts(client, url)
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            return [
                fault(
                    check,
                    f"{redacted_url(url)}: {type(error).__name__}",
                    "correct user and password in TOKENKEEP_REDIS_URL, or what the user may do",
                )
            ]
        except (RedisError, OSError, TimeoutError) as error:
            return [
                fault(
                    check,
                    f"{redacted_url(url)}: it can't be had ({type(error).__name__})",
                    "see that it runs and that this host may reach it; refreshes go on without it, events wait for it",
                )
            ]
        finally:
            await client.aclose()
        return [ok(check, redacted_url(url)), *judge_redis(facts)]

    async def keyring(self) -> Sequence[Finding]:
        """The keyring, and the keys that rows name."""
        settings, file = self._settings, self._belongings.keyring_file
        if settings.keyring is None and file is None:
            return [
                unseen(
                    "keyring.readable",
                    "no keyring is set here: right for a scheduler; API and workers don't start without one",
                )
            ]
        try:
            ring = read_keyring(settings.keyring, file)
        except SettingsError as error:
            return [fault("keyring.readable", str(error), "correct it; API and workers don't start with it")]
        # What it warned of once a mode is too open, reading itself refuses.
        mode = None if file is None else stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode)
        above = None if file is None else stat.S_IMODE((await asyncio.to_thread(file.resolve().parent.stat)).st_mode)
        places = list(judge_keyring_file(mode, above))
        tables = await self._keys_in_use()
        if tables is None:
            readable = ok("keyring.readable", f"{len(ring.key_ids)} keys")
            return [readable, *places, unseen("keyring.complete", "the database can't be had")]
        return [*judge_keyring(ring.key_ids, ring.key_id, tables), *places]

    async def _keys_in_use(self) -> Mapping[str, KeysInUse | None] | None:
        """By table; None if the database can't be had, which its own check tells."""
        url = self._belongings.database_url
        if url is None:
            return None
        try:
            async with _server(url) as server:
                return await server.keys_in_use()
        except (*_AWAY, SettingsError):
            return None


@asynccontextmanager
async def _server(url: Secret) -> AsyncIterator[PostgresServer]:
    server = await PostgresServer.connect(read_address(url))
    try:
        yield server
    finally:
        await server.close()


def _why(error: BaseException) -> str:
    """In words of ours, or the kind of error: a driver's text may quote what it was given."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"no TLS with it ({error.reason})"
        case TimeoutError():
            return "it does not answer in time"
        case OSError(strerror=str() as reason):
            return f"it can't be reached: {reason}"
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "it refuses the user or the password"
        case asyncpg.InvalidCatalogNameError():
            return "there is no such database"
        case asyncpg.TooManyConnectionsError():
            return "it takes no more connections"
        case asyncpg.CannotConnectNowError():
            return "it is starting up or shutting down"
        case asyncpg.PostgresError():
            return f"it refuses ({type(error).__name__}, SQLSTATE {error.sqlstate})"
        case _:
            return f"it can't be had ({type(error).__name__})"


def _what_helps(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return "name the authority of its certificate by sslrootcert in TOKENKEEP_DATABASE_URL, and the host by the name in the certificate"
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "correct user and password in TOKENKEEP_DATABASE_URL, or pg_hba.conf"
        case asyncpg.InvalidCatalogNameError():
            return "make it (CREATE DATABASE ... ENCODING 'UTF8'), then run `tokenkeep migrate`"
        case asyncpg.TooManyConnectionsError():
            return "raise max_connections (or the role's CONNECTION LIMIT), or lower TOKENKEEP_DATABASE_POOL_SIZE"
        case _:
            return "see that it runs, that this host may reach it, and that TOKENKEEP_DATABASE_URL names it"
