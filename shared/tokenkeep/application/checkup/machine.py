"""What this host gives to a process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.application.checkup.findings import Finding, fault, ok, warning

_FEW_FILES = 4_096
_LITTLE_ROOM = 256 * 2**20
_FEW_NAMES = 1_000
_VANISHING = {"tmpfs", "ramfs", "overlay", "aufs"}
"""File systems that end with the host, or with the container."""


@dataclass(frozen=True, slots=True)
class SpoolFacts:
    """The spool's directory. `kind`: of its file system, None if this host does not tell. `failure`: why nothing can be written and synced there."""

    path: Path
    mode: int | None
    kind: str | None
    free_bytes: int
    free_files: int
    waiting: int
    failure: str | None


def judge_spool(facts: SpoolFacts) -> Iterator[Finding]:
    """Whether a token set that the database can't take would be safe there."""
    if facts.failure is not None:
        yield fault(
            "spool.writable",
            f"{facts.path}: {facts.failure}",
            "let workers write there, or name another directory by TOKENKEEP_SPOOL_DIR: it is where a token set goes that the database can't take",
        )
        return
    if facts.mode is not None and facts.mode & 0o077:
        yield warning(
            "spool.writable",
            f"{facts.path} is open to group or others (mode {facts.mode:04o})",
            "chmod 700 it; what lies there is sealed",
        )
    else:
        yield ok("spool.writable", f"{facts.path} takes files and keeps them for its owner")
    if facts.kind in _VANISHING:
        yield warning(
            "spool.lasting",
            f"{facts.path} lies on {facts.kind}, which ends with the {'container' if facts.kind in {'overlay', 'aufs'} else 'machine'}",
            "put TOKENKEEP_SPOOL_DIR on a disk that outlives the worker (in Kubernetes: a volume of its own)",
        )
    else:
        yield ok("spool.lasting", "on a disk" if facts.kind is None else f"on {facts.kind}")
    if facts.free_bytes < _LITTLE_ROOM or facts.free_files < _FEW_NAMES:
        yield fault(
            "spool.room",
            f"{facts.free_bytes / 2**20:,.0f} MiB and {facts.free_files:,} files are free",
            "make room on that disk: a full one loses token sets that the database can't take",
        )
    else:
        yield ok("spool.room", f"{facts.free_bytes / 2**30:,.1f} GiB are free")
    if facts.waiting:
        yield warning(
            "spool.empty",
            f"{facts.waiting} answers wait there for the database",
            "start a worker with this directory: it stores them before it does anything else",
        )


def judge_open_files(soft: int) -> Finding:
    """How many files, and so connections, a process may have open."""
    if soft < _FEW_FILES:
        return warning(
            "host.open_files",
            f"a process may open {soft:,} files here",
            "raise it to 65,536 (LimitNOFILE= of systemd, ulimit -n): each connection of a caller and of a refresh is one",
        )
    return ok("host.open_files", f"a process may open {soft:,} files")
