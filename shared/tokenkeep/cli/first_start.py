"""What `up` makes in its data directory when it is not there yet: the directory, the keyring, the admin key."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings

KEYRING_FILE = "keyring"
ADMIN_KEY_FILE = "admin.key"
_PREFIX = "tk_"


@dataclass(frozen=True, slots=True)
class Belongings:
    """The settings with nothing left open but the servers' URLs; `admin_key_file` is None if the key was set."""

    settings: Settings
    admin_key_file: Path | None
    made: tuple[str, ...]
    """A line for each file that was made just now."""


def make_data_dir(settings: Settings) -> Path:
    """The data directory, absolute; made for its owner only if it is not there.

    Raises:
        SettingsError: It can't be made.
    """
    path = settings.data_dir.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"TOKENKEEP_DATA_DIR: {path} can't be made: {error.strerror}"
        raise SettingsError(msg) from None
    return path


def make_belongings(settings: Settings, data_dir: Path) -> Belongings:
    """Find or make the keyring and the admin key. The caller holds the claim on the data directory.

    Raises:
        SettingsError: A file can't be read or made, or the keyring of existing data is gone.
    """
    made: list[str] = []
    changes: dict[str, object] = {"data_dir": data_dir}
    if settings.keyring is None and settings.keyring_file is None:
        changes["keyring_file"] = _keyring(settings, data_dir, made)
    admin_key_file = None
    if settings.admin_key is None:
        admin_key_file = data_dir / ADMIN_KEY_FILE
        changes["admin_key"] = _admin_key(admin_key_file, made)
    return Belongings(settings.model_copy(update=changes), admin_key_file, tuple(made))


def _keyring(settings: Settings, data_dir: Path, made: list[str]) -> Path:
    from tokenkeep.adapters.vault.keyring_file import create_keyring_file  # noqa: PLC0415  # see the package
    from tokenkeep.cli.keys.installation import encrypting_service  # noqa: PLC0415  # as above

    path = data_dir / KEYRING_FILE
    if path.exists():
        return path
    if (data_dir / "postgres").exists():
        # A new one would open nothing of what is stored, and hide that the old one is missed.
        msg = f"TOKENKEEP_KEYRING_FILE: {path} is gone, but the database beside it needs it; put the file back"
        raise SettingsError(msg)
    create_keyring_file(path, encrypting_service(settings))
    made.append(f"made a keyring: {path} (without it, stored credentials can't be read: keep a copy)")
    return path


def _admin_key(path: Path, made: list[str]) -> Secret:
    try:
        if not path.exists():
            _write_new(path, f"{_PREFIX}{secrets.token_urlsafe(32)}\n")
            made.append(f"made an admin key: {path}")
        return Secret(path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        msg = f"TOKENKEEP_ADMIN_KEY: {path} can't be read or made: {type(error).__name__}"
        raise SettingsError(msg) from None


def _write_new(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is either whole or not there."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123  # a descriptor, not a path
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
