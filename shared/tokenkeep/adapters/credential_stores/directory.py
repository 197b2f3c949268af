"""Sealed credentials in a directory, one file for each version; on the disk, and its name with it, when `put` returns."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Final

from tokenkeep.domain.errors import NotStored

_SHARD: Final = re.compile(r"[0-9a-f]{3}")
_UNFINISHED: Final = ".tmp"
_LARGEST_FILE: Final = 1 << 20
_LEFT_BEHIND_S: Final = 3600.0
"""An unfinished file of this age is nobody's."""


class DirectoryStore:
    """A `CredentialStore`. Only this user may read it; any number of processes, on one host or over a shared disk, may use it.

    A file is written under another name, synced, and linked to its own, which must not be there yet; then its directory is
    synced. The directory must be there; what is in it is made as needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._on_disk: set[str] = set()

    async def put(self, name: str, sealed: bytes) -> None:
        """As the protocol says. Raises OSError when it can't be written, FileExistsError when other content is there."""
        await asyncio.to_thread(self._put, self._path / name, sealed)

    async def get(self, name: str) -> bytes:
        """As the protocol says. Raises OSError when it can't be read."""
        return await asyncio.to_thread(self._get, self._path / name)

    async def remove(self, name: str) -> None:
        """As the protocol says."""
        await asyncio.to_thread((self._path / name).unlink, missing_ok=True)

    async def names(self) -> AsyncIterator[str]:
        """As the protocol says, a directory at a time."""
        for shard in await asyncio.to_thread(self._shards):
            for name in await asyncio.to_thread(self._names_in, shard):
                yield name

    async def close(self) -> None:
        """There is nothing to close."""

    def _put(self, path: Path, sealed: bytes) -> None:
        self._make(path.parent)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(unfinished, path)
            except FileExistsError:
                if self._get(path) != sealed:
                    raise
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        _sync(path.parent)

    def _make(self, shard: Path) -> None:
        """See that the shard is there, and on the disk: whoever made it may not have come so far.

        The directory itself is not made. Where a disk is not mounted, what is written in its place would be hidden later.
        """
        if shard.name in self._on_disk and shard.is_dir():
            return
        with suppress(FileExistsError):
            shard.mkdir(mode=0o700)
        _sync(self._path)
        self._on_disk.add(shard.name)

    def _get(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            # A disk that is not mounted is no proof that there is nothing.
            if not self._path.is_dir():
                raise
            raise NotStored(path.name) from None
        if len(content) > _LARGEST_FILE:
            raise OSError(f"a file is larger than {_LARGEST_FILE} bytes")
        return content

    def _shards(self) -> list[Path]:
        if not self._path.is_dir():
            return []
        return sorted(path for path in self._path.iterdir() if _SHARD.fullmatch(path.name))

    def _names_in(self, shard: Path) -> list[str]:
        names = []
        for path in shard.iterdir():
            if not path.name.endswith(_UNFINISHED):
                names.append(f"{shard.name}/{path.name}")
                continue
            with suppress(OSError):  # another process clears too
                if time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                    path.unlink()
        return names


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
