"""Connect links, as use-cases get at them."""

from dataclasses import dataclass
from typing import Protocol

from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.secret import Secret


class LinkKey(Protocol):
    """The key under which this installation's links are made: 32 random bytes in hexadecimal, made at its first use."""

    async def __call__(self) -> Secret: ...


@dataclass(frozen=True, slots=True)
class ConnectLinks:
    """Makes links. Ask before a transaction is opened: the first time, the key is read over a connection of its own."""

    public_url: str
    key: LinkKey

    async def __call__(self) -> LinkMaker:
        """What makes and checks them, without any more waiting."""
        return LinkMaker(self.public_url, await self.key())
