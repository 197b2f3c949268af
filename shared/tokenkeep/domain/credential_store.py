"""A store of sealed credentials outside of the database: what one must do, and what things in it are called.

What a store is given is ciphertext, and so is what it gives back: it can lose credentials, but neither read nor change them.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

from tokenkeep.domain.ids import new_id

_NAME = re.compile(
    r"[0-9a-f]{3}/(?P<account>[0-9a-f]{32})\.(?P<epoch>[0-9]{1,19})\.(?P<generation>[0-9]{1,19})"
    r"\.(?P<fence>[0-9]{1,19})\.(?P<number>[0-9a-f]{32})"
)


class CredentialStore(Protocol):
    """Keeps bytes, each text of them written once, under names of lower-case letters, digits, dots and one slash.

    Whatever a method raises besides `NotStored` means that the store can't be had.
    """

    async def put(self, name: str, sealed: bytes) -> None:
        """Returns when it would outlive a crash. Overwrites nothing: a name comes twice only with the same content."""

    async def get(self, name: str) -> bytes:
        """What was put there. Raises `NotStored` when the store is sure that there is nothing of that name."""

    async def remove(self, name: str) -> None:
        """Take it away; it need not be there."""

    def names(self) -> AsyncIterator[str]:
        """Every name, in any order; one that comes or goes meanwhile may be left out."""

    async def close(self) -> None:
        """Nothing is asked for any more."""


@dataclass(frozen=True, slots=True)
class KeptAt:
    """Where credentials lie: the kind of the store, and the name in it."""

    store: str
    name: str


@dataclass(frozen=True, slots=True)
class KeptName:
    """What a version of an account's credentials is called. `number` makes each writing's name its own.

    What a row refers to always has the row's epoch and generation.
    """

    account_id: UUID
    epoch: int
    generation: int
    fence: int
    number: UUID

    @classmethod
    def new(cls, account_id: UUID, *, epoch: int, generation: int, fence: int) -> Self:
        """A name that nothing has."""
        return cls(account_id, epoch, generation, fence, new_id())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The name that a text is; None when it is none of ours."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        epoch, generation, fence = (int(found[part]) for part in ("epoch", "generation", "fence"))
        return cls(UUID(hex=found["account"]), epoch, generation, fence, UUID(hex=found["number"]))

    def __str__(self) -> str:
        # The end of a UUIDv7 is random, so what begins with it is spread evenly.
        account = self.account_id.hex
        return f"{account[-3:]}/{account}.{self.epoch}.{self.generation}.{self.fence}.{self.number.hex}"
