"""The system user that PostgreSQL runs under when we are root, for it refuses to run as root."""

import logging
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tokenkeep.adapters.embedded.failure import EmbeddedFailure

NAME = "pgserver"
"""The name that the wheel uses too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Who a server runs as."""

    name: str
    user_id: int
    group_id: int

    @classmethod
    def current(cls) -> Self:
        """The user we are."""
        user_id = os.geteuid()
        try:
            name = pwd.getpwuid(user_id).pw_name
        except KeyError:
            # Containers run under ids that have no name.
            name = str(user_id)
        return cls(name, user_id, os.getegid())

    @property
    def is_other(self) -> bool:
        """Whether a server that runs as this user has to change to it."""
        return self.user_id != os.geteuid()

    def owns(self, path: Path) -> None:
        """Make this user the owner of a file or directory."""
        if path.stat().st_uid != self.user_id:
            os.chown(path, self.user_id, self.group_id)

    def let_into(self, private: Path) -> None:
        """Let this user pass through a directory of ours, and through those above it.

        Ours is opened to the user's group, for passing only: its files stay unlisted and unread. A directory above it
        that is closed to everybody (`/root` is, on many systems) is opened for passing, and a warning says so.
        """
        if not self.is_other:
            return
        for directory in (private, *private.parents):
            mode = directory.stat()
            if self._may_pass(mode):
                continue
            if directory == private:
                os.chown(directory, -1, self.group_id)
                directory.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXGRP)
            else:
                _log.warning(
                    "%s: other users may now pass through it (mode o+x), for PostgreSQL runs as the user %s",
                    directory,
                    self.name,
                )
                directory.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXOTH)

    def let_run(self, programs: Path) -> None:
        """Let this user run what lies in a directory of programs: a strict umask at installation forbids it."""
        if not self.is_other:
            return
        for path in (programs, *programs.rglob("*")):
            mode = path.lstat().st_mode
            wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if not stat.S_ISLNK(mode) and mode & wanted != wanted:
                path.chmod(stat.S_IMODE(mode) | wanted)
        self.let_into(programs)

    def _may_pass(self, found: os.stat_result) -> bool:
        if found.st_uid == self.user_id:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.group_id:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def postgres_user() -> SystemUser:
    """Ourselves, or if we are root the user `pgserver`, which is made if there is none.

    Raises:
        EmbeddedFailure: We are root and the user can't be made.
    """
    if os.geteuid() != 0:
        return SystemUser.current()
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _add_user()
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _add_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # fixed words; found where root looks
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError, KeyError):
        msg = (
            f"PostgreSQL does not run as root and the system user {NAME} can't be made; "
            f"start tokenkeep as another user, or run: {' '.join(command)}"
        )
        raise EmbeddedFailure(msg) from None
