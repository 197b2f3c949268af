"""What the commands of `tokenkeep keys` work on: the installation that the settings name, or the one that `up` runs here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tokenkeep.cli.installation import installation_of
from tokenkeep.domain.errors import KeyServiceError, SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenkeep.adapters.key_services.key_service import KeyService
    from tokenkeep.adapters.postgres.engine import Database
    from tokenkeep.adapters.vault.keyring import Keyring

_STATEMENT_TIMEOUT_S = 3600.0
"""A count reads every row."""


def find_installation() -> Settings:
    """The settings, with the keyring and the database of the data directory where none are set.

    Raises:
        SettingsError: A setting is wrong.
    """
    return installation_of(load_settings())


def keyring_file(settings: Settings, given: Path | None) -> Path:
    """The file that a command is to change.

    Raises:
        SettingsError: The keyring is in no file.
    """
    path = given or settings.keyring_file
    if path is None:
        raise SettingsError(
            "TOKENKEEP_KEYRING_FILE: must be set, or --file be given: only a keyring in a file can be changed"
        )
    return path


def encrypting_service(settings: Settings) -> "KeyService | None":
    """The key service that new keys are encrypted by, None if none is set.

    Raises:
        SettingsError: What is set can't be understood.
    """
    return next(iter(key_services(settings)), None)


def key_services(settings: Settings) -> "Sequence[KeyService]":
    """The key services that are set, the one that encrypts new keys first. Raises as `encrypting_service` does."""
    from tokenkeep.adapters.hashicorp_http import VaultLogin  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.adapters.key_services.opening import open_key_services  # noqa: PLC0415  # as above

    login = VaultLogin(settings.vault_token, settings.vault_role_id, settings.vault_secret_id)
    return open_key_services(settings.keyring_kms, login)


def new_key_of(settings: Settings) -> "tuple[Keyring, Secret]":
    """A new key and its entry, encrypted where a key service is set.

    Raises:
        SettingsError: The service can't be had, or refuses.
    """
    from tokenkeep.adapters.vault.keyring import new_entry  # noqa: PLC0415  # see the package `cli`

    try:
        return new_entry(encrypting_service(settings))
    except KeyServiceError as error:
        raise SettingsError(f"TOKENKEEP_KEYRING_KMS: {error}") from None


def opened_keyring(settings: Settings) -> "Keyring":
    """The keyring as it is now, opened; what is changed in its file later changes nothing for a command under way.

    Raises:
        SettingsError: There is none, or a key service does not open it.
    """
    from tokenkeep.adapters.vault.key_opener import KeyOpener  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.adapters.vault.keyring_file import FileKeyring, read_keyring  # noqa: PLC0415  # as above

    ring = read_keyring(settings.keyring, settings.keyring_file, KeyOpener(key_services(settings)))
    return ring.ring() if isinstance(ring, FileKeyring) else ring


def known_keys(settings: Settings) -> tuple[str, ...]:
    """The ids of the keyring's keys, the current one first, none of them opened; empty where no keyring is set.

    Raises:
        SettingsError: What is set is no keyring.
    """
    from tokenkeep.adapters.vault.keyring import read_entries  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.adapters.vault.keyring_file import (  # noqa: PLC0415  # as above
        KEYRING_FILE_SETTING,
        read_keyring_text,
    )

    if settings.keyring is not None:
        return tuple(entry.key_id for entry in read_entries(settings.keyring))
    if settings.keyring_file is None:
        return ()
    text = read_keyring_text(settings.keyring_file)
    return tuple(entry.key_id for entry in read_entries(text, setting=KEYRING_FILE_SETTING))


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator["Database"]:
    """The installation's database.

    Raises:
        SettingsError: It is not set, can't be had, or has an older schema than this release needs.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.adapters.postgres.engine import Database, create_engine  # noqa: PLC0415  # as above
    from tokenkeep.adapters.postgres.revisions import head_revision  # noqa: PLC0415  # as above
    from tokenkeep.settings import require_database  # noqa: PLC0415  # as above

    url = require_database(settings)
    database = Database(
        create_engine(url, pool_size=2, process="tokenkeep keys", command_timeout_s=_STATEMENT_TIMEOUT_S)
    )
    try:
        async with database.reading() as connection:
            found = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            # A newer one is fine: the release before works beside it, and is gone back to.
            if found.scalar_one() < head_revision():
                raise SettingsError("TOKENKEEP_DATABASE_URL: the database waits for `tokenkeep migrate`")
        yield database
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise SettingsError(f"TOKENKEEP_DATABASE_URL: the database can't be had: {type(error).__name__}") from None
    finally:
        await database.close()
