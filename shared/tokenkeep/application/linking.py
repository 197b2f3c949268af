"""Connect links, as use-cases get at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.connect_page import Configured, has_page


class LinkKey(Protocol):
    """The key under which this installation's links are made: 32 random bytes in hexadecimal, made at its first use."""

    async def __call__(self) -> Secret: ...


@dataclass(frozen=True, slots=True)
class LinksOfSources:
    """Makes links where they lead somewhere. `maker` makes and checks all that there are."""

    maker: LinkMaker
    catalogue: Catalogue

    def of(self, source: Configured | None) -> LinkMaker | None:
        """What makes links to accounts of this source; None where no page could take what their users bring."""
        return self.maker if source is not None and has_page(self.catalogue, source) else None

    def each(self, sources: Mapping[SourceId, Configured]) -> Mapping[SourceId, LinkMaker | None]:
        """`of` for each of these sources."""
        return {source_id: self.of(source) for source_id, source in sources.items()}


@dataclass(frozen=True, slots=True)
class ConnectLinks:
    """Makes links. Ask before a transaction is opened: the first time, the key is read over a connection of its own."""

    public_url: str
    key: LinkKey
    catalogue: Catalogue

    async def __call__(self) -> LinksOfSources:
        """What makes and checks them, without any more waiting."""
        return LinksOfSources(LinkMaker(self.public_url, await self.key()), self.catalogue)
