"""Changes of a keyring's file: always the whole file at once, so that whoever reads it sees the one before or the one after."""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tokenkeep.adapters.vault.keyring import read_entries
from tokenkeep.adapters.vault.keyring_file import KEYRING_FILE_SETTING, read_keyring_text, sync_directory, unusable
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_Line = tuple[str | None, str]
"""The id of the entry that a line holds, None for a comment; and the line."""


def add_key(path: Path, entry: Secret, *, first: bool = False) -> None:
    """Add an entry behind the others, or before them: then it becomes the current key.

    Raises:
        SettingsError: The file can't be read or written, or would hold no sound keyring.
    """

    def changed(lines: list[_Line]) -> list[_Line]:
        new: _Line = (entry.reveal().partition(":")[0], entry.reveal())
        at = _first_entry(lines) if first else len(lines)
        return [*lines[:at], new, *lines[at:]]

    _change(path, changed)


def put_first(path: Path, key_id: str) -> bool:
    """Make a key of the file the current one; False when it is that already. Raises as `add_key` does, also if there is no such key."""

    def changed(lines: list[_Line]) -> list[_Line]:
        mine = _line_of(path, key_id, lines)
        others = [line for line in lines if line is not mine]
        at = _first_entry(others)
        return [*others[:at], mine, *others[at:]]

    return _change(path, changed)


def remove_key(path: Path, key_id: str) -> None:
    """Take a key out of the file. The current one stays. Raises as `put_first` does, also if it is the current one."""

    def changed(lines: list[_Line]) -> list[_Line]:
        mine = _line_of(path, key_id, lines)
        if mine is lines[_first_entry(lines)]:
            raise SettingsError(f"{KEYRING_FILE_SETTING}: {key_id} is the current key of {path} and stays in it")
        return [line for line in lines if line is not mine]

    _change(path, changed)


def _change(path: Path, change: Callable[[list[_Line]], list[_Line]]) -> bool:
    # A name that leads elsewhere goes on doing so.
    path = path.resolve()
    with _alone(path):
        before = read_keyring_text(path)
        read_entries(before, setting=KEYRING_FILE_SETTING)
        lines = _lines(before.reveal())
        after = change(lines)
        if after == lines:
            return False
        text = Secret("".join(f"{line}\n" for _, line in after))
        read_entries(text, setting=KEYRING_FILE_SETTING)
        _replace(path, text)
        return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two operators at once: the second waits, and changes what the first has made."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise unusable(path, "changed", error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: Secret) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        found = path.stat()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            file.write(text.reveal().encode())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise unusable(path, "changed", error) from None


def _lines(text: str) -> list[_Line]:
    """A line for each entry and each comment. One that holds several entries is taken apart."""
    lines: list[_Line] = []
    for line in text.splitlines():
        held, hash_sign, comment = line.partition("#")
        entries = [entry.strip() for entry in held.split(",") if entry.strip()]
        if len(entries) == 1:
            lines.append((_id_of(entries[0]), line))
            continue
        lines += [(_id_of(entry), entry) for entry in entries]
        if hash_sign or not entries:
            lines.append((None, f"{hash_sign}{comment}"))
    return lines


def _id_of(entry: str) -> str:
    return entry.partition(":")[0].strip()


def _first_entry(lines: Sequence[_Line]) -> int:
    return next((at for at, (key_id, _) in enumerate(lines) if key_id is not None), len(lines))


def _line_of(path: Path, key_id: str, lines: Sequence[_Line]) -> _Line:
    for line in lines:
        if line[0] == key_id:
            return line
    raise SettingsError(f"{KEYRING_FILE_SETTING}: {path} has no key of that name")
