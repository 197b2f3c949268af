"""Settings that lie in files, one a file: what container engines, Kubernetes and systemd hand secrets over by.

An environment is inherited by children, shown by `docker inspect` and put into crash reports; a file is none of this. A
file is named like the variable whose place it takes, in capitals or not: `tokenkeep_database_url`. What the environment
says itself comes first, and an empty file says nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tokenkeep.domain.errors import SettingsError

SECRETS_DIR: Final = "secrets_dir"
"""The field that names the directory."""

_LARGEST: Final = 64 * 1024
"""Bytes; a keyring of a thousand keys fits. A wrong path may be anything."""


def names_in(directory: Path) -> Mapping[str, Path]:
    """The files of a directory, by their names in small letters. Directories and hidden files are none.

    Raises:
        SettingsError: It can't be listed.
    """
    try:
        return {path.name.lower(): path for path in directory.iterdir() if path.is_file() and path.name[0] != "."}
    except OSError as error:
        raise _unreadable(directory, error) from None


class SecretFiles(PydanticBaseSettingsSource):
    """The files of the directory that `secrets_dir` names, as a source of settings; none if it names nothing.

    A keyring stays a file, so that a changed one is picked up as if `keyring_file` had named it.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._prefix = str(settings_cls.model_config.get("env_prefix", "")).lower()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - as the class above has it
        """Unused: all files are read in one go."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """What the files hold, by field.

        Raises:
            SettingsError: The directory or a file can't be read, a file holds no short text, or two name a keyring.
        """
        said = self.current_state.get(SECRETS_DIR)
        if not said:
            return {}
        try:
            directory = Path(said).expanduser()
        except RuntimeError:
            return {}  # no such home: the field's own check says so
        if not directory.is_dir():
            return {}  # as above
        files = names_in(directory)
        fields = [
            name for name in self.settings_cls.model_fields if name != SECRETS_DIR and self._prefix + name in files
        ]
        if {"keyring", "keyring_file"} <= set(fields):
            # As with variables: which of the two opens the database must not be a guess.
            msg = f"{self._prefix}keyring: must not lie beside {self._prefix}keyring_file in TOKENKEEP_SECRETS_DIR"
            raise SettingsError(msg)
        said_there = (self._setting(name, files[self._prefix + name]) for name in fields)
        return {name: value for name, value in said_there if value}

    def _setting(self, field: str, path: Path) -> tuple[str, str]:
        return ("keyring_file", str(path)) if field == "keyring" else (field, _text(path))


def _text(path: Path) -> str:
    """What a file holds, without the line end that editors put behind it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) <= _LARGEST:
        try:
            return content.decode().strip()
        except UnicodeDecodeError:
            pass
    msg = f"TOKENKEEP_SECRETS_DIR: {path} is not a text of at most {_LARGEST // 1024} KB"
    raise SettingsError(msg)


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"TOKENKEEP_SECRETS_DIR: {path} can't be read: {error.strerror}")
