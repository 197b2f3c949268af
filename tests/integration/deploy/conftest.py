"""The image, made once, and an installation of compose.yaml's services in it."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from containers import Installation
from image import Image, build_image, held, need_namespaces
from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.valkey import start_valkey


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image of deploy/Dockerfile."""
    need_namespaces()
    place = Path(tempfile.mkdtemp(prefix="tk-image-"))
    place.chmod(0o755)
    try:
        with held(build_image(place), place) as made:
            yield made
    finally:
        shutil.rmtree(place)


@pytest.fixture
def installation(image: Image, short_dir: Path) -> Iterator[Installation]:
    """An installation over servers of its own, with secrets as deploy/make-secrets.sh makes them."""
    short_dir.chmod(0o711)
    postgres = start_postgres(short_dir, durable=False)
    valkey = start_valkey(short_dir)
    sockets = {
        "postgres/.s.PGSQL.5432": short_dir / "postgres" / ".s.PGSQL.5432",
        "valkey": Path(urlsplit(valkey.url).path),
    }
    # They are for this machine's users, by their names; not for a container's.
    for path in sockets.values():
        path.chmod(0o666)
    rules = short_dir / "postgres" / "pg_hba.conf"
    rules.write_text("local all all trust\n", encoding="utf-8")
    postmaster = short_dir / "postgres" / "postmaster.pid"
    os.kill(int(postmaster.read_text(encoding="utf-8").split()[0]), signal.SIGHUP)
    made = Installation(
        image,
        short_dir,
        sockets,
        database_url="postgresql://tokenkeep@/tokenkeep?host=/run/sockets/postgres",
        redis_url="unix:///run/sockets/valkey",
    )
    yield made
    made.end()
    valkey.stop()
    postgres.stop()
