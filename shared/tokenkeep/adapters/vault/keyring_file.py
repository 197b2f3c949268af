"""Keyrings in files: made once, read by their owner alone, picked up again when they change."""

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from tokenkeep.adapters.vault.key_opener import KeyOpener, patiently
from tokenkeep.adapters.vault.keyring import KEYRING_SETTING, Encrypts, Keyring, new_entry, read_entries
from tokenkeep.domain.errors import KeyServiceError, SettingsError
from tokenkeep.domain.secret import Secret

KEYRING_FILE_SETTING: Final = "TOKENKEEP_KEYRING_FILE"

_ANYONE_ELSE: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0
_CHECK_EVERY_S: Final = 1.0
_OPEN_AGAIN_S: Final = 10.0
"""How long after a key service did not open a new file it is asked again."""

# A keyring of a thousand keys is not a keyring; a wrong path may be anything.
_MAX_BYTES: Final = 64 * 1024

_Stamp = tuple[int, int, int, int, int]

_log = structlog.get_logger(__name__)


def read_keyring(
    keyring: Secret | None, file: Path | None, open_key: KeyOpener | None = None
) -> "Keyring | FileKeyring":
    """The keyring of the settings: the text itself, or the file that holds it.

    A key service that can't be had is asked again for up to 30 seconds: this blocks, and belongs to the start of a process.

    Args:
        keyring: The text, if it is set.
        file: The file, if it is set.
        open_key: Opens what key services have encrypted.

    Raises:
        SettingsError: Both are set, or neither, or the one that is set does not hold a keyring, or a key service does not
            open one of its keys.
    """
    opener = open_key or KeyOpener()
    if keyring is not None and file is not None:
        msg = f"{KEYRING_SETTING}: set either it or {KEYRING_FILE_SETTING}, not both"
        raise SettingsError(msg)
    if keyring is not None:
        return patiently(lambda: Keyring.parse(keyring, open_key=opener))
    if file is not None:
        return patiently(lambda: FileKeyring(file, open_key=opener))
    msg = f"{KEYRING_SETTING}: no keyring is set; give it, or name a file by {KEYRING_FILE_SETTING}"
    raise SettingsError(msg)


def create_keyring_file(path: Path, service: Encrypts | None = None) -> Keyring:
    """A new keyring of one key, written to a new file of mode 0600 and durable when this returns.

    Args:
        path: The file.
        service: Encrypts the key; without one it stands in the file in the clear.

    Raises:
        SettingsError: The file exists already (it is never overwritten) or can't be written.
        KeyServiceError: The service does not encrypt it.
    """
    ring, entry = new_entry(service)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        msg = f"{KEYRING_FILE_SETTING}: {path} exists already and is never overwritten"
        raise SettingsError(msg) from None
    except OSError as error:
        raise unusable(path, "written", error) from None
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            file.write(f"{entry.reveal()}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except OSError as error:
        # Half a keyring is none, and its key has wrapped nothing yet.
        with contextlib.suppress(OSError):
            path.unlink()
        raise unusable(path, "written", error) from None
    return ring


class FileKeyring:
    """A keyring in a file, read anew when the file changes. A `KeyWrapper`.

    Whoever asks for a key pays for a look at the file's inode and times, at most once a second; and when a key is
    missing, since a process that has seen the new file sooner may have used it already. A new file that is not a
    sound keyring changes nothing: the keys known so far stay in use, and the log says so once. Keys that a key service has
    to open are asked for on a thread of their own, so nobody who asks for a key waits for a network.

    Raises:
        SettingsError: At the start, there must be a sound keyring.
        KeyServiceError: At the start, a key service does not open one of its keys.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, open_key: KeyOpener | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._open_key = open_key or KeyOpener()
        found = _read(path)
        self._ring = self._parsed(found.text)
        self._stamp: _Stamp | None = found.stamp
        self._checked_at = clock()
        self._opening: threading.Thread | None = None
        self._open_again_at = 0.0

    @property
    def key_id(self) -> str:
        """The id of the key that new data keys are wrapped by."""
        return self.ring().current

    @property
    def key_ids(self) -> tuple[str, ...]:
        """All ids, the current one first."""
        return self.ring().key_ids

    @property
    def changed_at(self) -> float | None:
        """When the file that is in use was last changed, in seconds of the Unix epoch."""
        self.ring()
        return None if self._stamp is None else self._stamp[3] / 1e9

    def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.wrap`."""
        return self._ring_with(key_id).wrap(key_id, data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        return self._ring_with(key_id).unwrap(key_id, wrapped, context)

    def ring(self) -> Keyring:
        """The keyring as the file holds it now, or held it less than a second ago."""
        if self._clock() - self._checked_at >= _CHECK_EVERY_S:
            self._look()
        return self._ring

    def __repr__(self) -> str:
        return f"File{self._ring!r}"

    def _ring_with(self, key_id: str) -> Keyring:
        if key_id not in self.ring():
            self._look()
        return self._ring

    def _look(self) -> None:
        self._checked_at = self._clock()
        try:
            stamp = _stamp(self._path.stat())
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return
        if self._opening is not None and self._opening.is_alive():
            return
        if self._checked_at < self._open_again_at:
            return
        # Remembered before reading: a broken file is reported when it appears, not once a second.
        self._stamp = stamp
        try:
            found = _read(self._path)
            entries = read_entries(found.text, setting=KEYRING_FILE_SETTING)
        except SettingsError as error:
            self._keep(str(error))
            return
        if self._open_key.has_opened(entries):
            self._take(found)
            return
        self._opening = threading.Thread(target=self._take, args=(found,), name="keyring", daemon=True)
        self._opening.start()

    def _take(self, found: "_Found") -> None:
        """Have what was found in the file as the keyring from now on."""
        try:
            ring = self._parsed(found.text)
        except SettingsError as error:
            self._keep(str(error))
            return
        except KeyServiceError as error:
            # Looked at again: it may be the service that is away, and not the file that is wrong.
            self._stamp, self._open_again_at = None, self._clock() + _OPEN_AGAIN_S
            self._keep(str(error))
            return
        self._ring, self._stamp = ring, found.stamp
        _log.info("keyring_reloaded", key_ids=ring.key_ids)

    def _keep(self, problem: str) -> None:
        _log.error("keyring_kept", problem=problem, key_ids=self._ring.key_ids)

    def _parsed(self, text: Secret) -> Keyring:
        return Keyring.parse(text, setting=KEYRING_FILE_SETTING, open_key=self._open_key)


def read_keyring_text(path: Path) -> Secret:
    """What a keyring's file holds, none of it opened.

    Raises:
        SettingsError: It can't be read, is open to others, or is too large for a keyring.
    """
    return _read(path).text


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file holds, and its stamp."""

    text: Secret
    stamp: _Stamp


def _read(path: Path) -> _Found:
    """The text and the stamp of one and the same file, even while the name is being moved to another."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise unusable(path, "read", error) from None
    if not _is_closed(found):
        mode = stat.S_IMODE(found.st_mode)
        is_ours = found.st_uid == os.geteuid()
        mend = "chmod 600 it" if is_ours else "what is not ours must be root's, with mode 0440 and our group"
        msg = f"{KEYRING_FILE_SETTING}: {path} is open to group or others (mode {mode:04o}); {mend}"
        raise SettingsError(msg)
    if len(content) > _MAX_BYTES:
        msg = f"{KEYRING_FILE_SETTING}: {path} does not hold a keyring"
        raise SettingsError(msg)
    # Ids and keys are ASCII; a comment may be in any encoding.
    return _Found(Secret(content.decode(errors="replace")), _stamp(found))


def _is_closed(found: os.stat_result) -> bool:
    """Whether nobody may read the file but its owner, or those whom root gave it to.

    A process that is not root gets its secrets from root by its group: so Kubernetes (`fsGroup`), systemd (by an access list, whose mask
    shows as the group's bits) and an operator's `chown root:tokenkeep` do it. Who owns the file can close it, and has to.
    """
    open_to = stat.S_IMODE(found.st_mode) & _ANYONE_ELSE
    if open_to == stat.S_IRGRP and found.st_uid == _ROOT and os.geteuid() != _ROOT:
        return found.st_gid in {_ROOT, os.getegid(), *os.getgroups()}
    return not open_to


def _stamp(found: os.stat_result) -> _Stamp:
    # The change time too: a chmod that mends a refused file moves nothing else.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def sync_directory(path: Path) -> None:
    """Have the names in a directory outlive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unusable(path: Path, done: str, error: OSError) -> SettingsError:
    """The error of a file that can't be read or written."""
    return SettingsError(f"{KEYRING_FILE_SETTING}: {path} can't be {done}: {error.strerror}")
