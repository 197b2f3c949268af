"""How many may read the feed at once: whoever waits holds a connection, and one key must not hold them all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tokenkeep.domain.errors import TooManyReaders

MOST = 1_000
MOST_OF_ONE_KEY = 250


class FeedReaders:
    """Counts the readers of this process."""

    def __init__(self, *, most: int = MOST, most_of_one_key: int = MOST_OF_ONE_KEY) -> None:
        self._most = most
        self._most_of_one_key = most_of_one_key
        self._by_key: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_key.total()

    @contextmanager
    def admit(self, key: str) -> Iterator[None]:
        """One reader, for as long as the block lasts. Raises `TooManyReaders`."""
        if self._by_key[key] >= self._most_of_one_key:
            raise TooManyReaders(f"this API key has {self._most_of_one_key} readers of the feed already")
        if len(self) >= self._most:
            raise TooManyReaders(f"there are {self._most} readers of the feed already")
        self._by_key[key] += 1
        try:
            yield
        finally:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
