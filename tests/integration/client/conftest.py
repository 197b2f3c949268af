"""A stream of the test's own in a real Valkey."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from told_events import Consumers, Teller


@pytest.fixture
def teller(redis_url: str) -> Iterator[Teller]:
    with Teller(redis_url) as made:
        made.client.flushall()
        yield made


@pytest.fixture
def consumers(redis_url: str, tmp_path: Path) -> Iterator[Any]:
    made: list[Consumers] = []

    def make(**options: Any) -> Consumers:
        made.append(Consumers(redis_url, tmp_path, {"group": "billing", **options}))
        return made[-1]

    yield make
    for one in made:
        one.end()
