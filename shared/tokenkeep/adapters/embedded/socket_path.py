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
    short = socket_place(home, socket_name)
    if short == home:
        return home
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner}:
        msg = f"{short}: is wanted for sockets but belongs to another user"
        raise EmbeddedFailure(msg)
    short.chmod(0o700)
    if found.st_uid != owner:
        os.chown(short, owner, -1)
    return short


def found_socket(home: Path, socket_name: str, *, owner: int) -> Path | None:
    """The socket of a server that runs; None if there is none. Nothing is made.

    Raises:
        EmbeddedFailure: It lies in a directory that belongs to somebody else.
    """
    found = socket_place(home, socket_name) / socket_name
    if not found.is_socket():
        return None
    if found.parent.lstat().st_uid not in {os.geteuid(), owner}:
        msg = f"{found.parent}: holds a socket of the name that is looked for but belongs to another user"
        raise EmbeddedFailure(msg)
    return found


def socket_place(home: Path, socket_name: str) -> Path:
    """Which directory that is; whether it is there, and whose, is not looked at."""
    if _fits(home / socket_name):
        return home
    name = f"tokenkeep-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    short = Path(tempfile.gettempdir()) / name
    return short if _fits(short / socket_name) else Path("/tmp") / name  # noqa: S108  # whoever uses it checks its owner


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
