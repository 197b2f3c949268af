"""Where a server's Unix socket goes: beside its data if the path is short enough, else under the temporary directory."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from tokenkeep.adapters.embedded.failure import EmbeddedFailure

LONGEST_SOCKET_PATH = 100
"""In bytes. `sockaddr_un` takes 104 on macOS and 108 on Linux, the closing zero included."""


def socket_directory(home: Path, socket_name: str, *, owner: int) -> Path:
    """A directory for a server's socket that only its owner can enter.

    Args:
        home: The server's data directory, absolute; taken if the socket's path is short enough there.
        socket_name: The name the server gives its socket.
        owner: The user id that the server runs under.

    Raises:
        EmbeddedFailure: A directory of the wanted name is there but belongs to somebody else.
    """
    if _fits(home / socket_name):
        return home
    name = f"tokenkeep-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    short = next((path for path in (Path(tempfile.gettempdir()) / name,) if _fits(path / socket_name)), None)
    short = short or Path("/tmp") / name  # noqa: S108  # the name is checked for its owner below
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner}:
        msg = f"{short}: is wanted for sockets but belongs to another user"
        raise EmbeddedFailure(msg)
    short.chmod(0o700)
    if found.st_uid != owner:
        os.chown(short, owner, -1)
    return short


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
