"""The image, made once, and an installation of compose.yaml's services in it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from containers import Installation
from databases import new_database
from image import Image, build_image, held, need_namespaces
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
def installation(image: Image, postgres_url: str, short_dir: Path) -> Iterator[Installation]:
    """An installation with an empty database of its own, and secrets as deploy/make-secrets.sh makes them."""
    short_dir.chmod(0o711)
    valkey = start_valkey(short_dir / "redis")
    database = urlsplit(new_database(postgres_url, f"t{uuid4().hex}"))
    sockets = {
        "postgres/.s.PGSQL.5432": Path(parse_qs(database.query)["host"][0], ".s.PGSQL.5432"),
        "valkey": Path(urlsplit(valkey.url).path),
    }
    for path in sockets.values():
        path.chmod(0o666)  # they are for this machine's users, not for a container's
    made = Installation(
        image,
        short_dir,
        sockets,
        database_url=f"postgresql://tokenkeep@{database.path}?host=/run/sockets/postgres",
        redis_url="unix:///run/sockets/valkey",
    )
    yield made
    made.end()
    valkey.stop()
