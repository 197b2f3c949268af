"""Looks at the stores, and at the keyring beside them."""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import asyncpg
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from tokenkeep.adapters.host_facts import aside
from tokenkeep.adapters.key_services.key_service import KeyService
from tokenkeep.adapters.postgres.address import read_address
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.adapters.postgres.server_facts import PostgresServer
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.adapters.redis.server_facts import read_redis_facts
from tokenkeep.adapters.vault.key_opener import KeyOpener
from tokenkeep.adapters.vault.keyring import KEYRING_SETTING, Keyring, read_entries
from tokenkeep.adapters.vault.keyring_file import KEYRING_FILE_SETTING, read_keyring_text
from tokenkeep.application.checkup.findings import Finding, fault, ok, unseen
from tokenkeep.application.checkup.keyring import KeysInUse, judge_keyring, judge_keyring_file
from tokenkeep.application.checkup.postgres import judge_postgres
from tokenkeep.application.checkup.redis import judge_redis
from tokenkeep.cli.keys.installation import key_services
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable, SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, redacted_url

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_NO_STORE: Final = "set it, or run this where `tokenkeep up` has its data directory (TOKENKEEP_DATA_DIR)"


class Stores:
    """The checks of one installation's stores. What can't be had is told by one finding, and not by each check anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def postgres(self) -> Sequence[Finding]:
        """The database server."""
        check, url = "postgres.connection", self._settings.database_url
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
        check, url = "redis.connection", self._settings.redis_url
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
        settings, file = self._settings, self._settings.keyring_file
        try:
            if file is not None:
                text, setting = read_keyring_text(file), KEYRING_FILE_SETTING
            elif settings.keyring is not None:
                text, setting = settings.keyring, KEYRING_SETTING
            else:
                said = "no keyring is set here: right for a scheduler; API and workers don't start without one"
                return [unseen("keyring.readable", said)]
            known = [entry.key_id for entry in read_entries(text, setting=setting)]
            opened = await aside(partial(_open_keyring, text, setting, key_services(settings)))
        except SettingsError as error:
            return [fault("keyring.readable", str(error), "correct it; API and workers don't start with it")]
        # What it warned of once a mode is too open, reading itself refuses.
        mode = None if file is None else stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode)
        above = None if file is None else stat.S_IMODE((await asyncio.to_thread(file.resolve().parent.stat)).st_mode)
        places = [*judge_keyring_file(mode, above), *opened]
        tables = await self._keys_in_use()
        if tables is None:
            readable = ok("keyring.readable", f"{len(known)} keys")
            return [readable, *places, unseen("keyring.complete", "the database can't be had")]
        return [*judge_keyring(known, known[0], tables), *places]

    async def _keys_in_use(self) -> Mapping[str, KeysInUse | None] | None:
        """By table; None if the database can't be had, which its own check tells."""
        url = self._settings.database_url
        if url is None:
            return None
        try:
            async with _server(url) as server:
                return await server.keys_in_use()
        except (*_AWAY, SettingsError):
            return None


def _open_keyring(text: Secret, setting: str, services: Sequence[KeyService]) -> list[Finding]:
    """Whether a process that starts now would have every key; nothing where none is encrypted.

    Raises:
        SettingsError: An entry is no key, or no service is set for it.
    """
    check = "keyring.key_service"
    kinds = sorted({entry.service for entry in read_entries(text, setting=setting) if entry.service is not None})
    try:
        Keyring.parse(text, setting=setting, open_key=KeyOpener(services))
    except KeyServiceUnavailable as error:
        do = "see that it runs and that this host may reach it: processes that run go on, and none can start without it"
        return [fault(check, str(error), do)]
    except KeyServiceError as error:
        do = "see that its key is enabled, and that this login may decrypt by it; no API and no worker starts before"
        return [fault(check, str(error), do)]
    return [ok(check, f"{', '.join(kinds)} opens what it has encrypted")] if kinds else []


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
