"""A credential store in memory, as an installed package might bring one; and two that are none."""

from collections.abc import AsyncIterator

from tokenkeep.domain.errors import NotStored


class MemoryStore:
    """A `CredentialStore`. `away`: it raises whatever is asked of it."""

    def __init__(self, _rest: str = "") -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def put(self, name: str, sealed: bytes) -> None:
        self._ask()
        if self.kept.setdefault(name, sealed) != sealed:
            raise ValueError("other content")

    async def get(self, name: str) -> bytes:
        self._ask()
        if name not in self.kept:
            raise NotStored(name)
        return self.kept[name]

    async def remove(self, name: str) -> None:
        self._ask()
        self.kept.pop(name, None)

    async def names(self) -> AsyncIterator[str]:
        self._ask()
        for name in list(self.kept):
            yield name

    async def close(self) -> None:
        """It has nothing to close."""

    def _ask(self) -> None:
        if self.away:
            raise ConnectionError("canary-words of a store")


class Half:
    def __init__(self, _rest: str) -> None:
        pass


def raises(rest: str) -> None:
    raise RuntimeError(f"canary {rest}")


def exits(rest: str) -> None:
    raise SystemExit(f"canary {rest}")
