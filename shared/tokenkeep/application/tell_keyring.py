"""Tell which keys this process holds, so that nobody removes one that is still needed, nor wraps by one that is not known yet."""

import os
import socket
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from tokenkeep.application.key_rotation import HolderReport, KeyringHolders

TELL_EVERY_S: Final = 10.0


class KeyIds(Protocol):
    """A keyring, of which only the names of its keys are asked, the current one first."""

    @property
    def key_ids(self) -> tuple[str, ...]: ...


class SpooledKeys(Protocol):
    """A spool, of which only the names of the keys are asked that its answers are sealed under."""

    @property
    def place(self) -> str: ...

    async def key_ids(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class TellKeyring:
    """Tells of one process; `spool` None where it has none. Raises what the database raises."""

    id: UUID
    process: str
    holders: KeyringHolders
    keyring: KeyIds
    spool: SpooledKeys | None = None

    async def __call__(self) -> None:
        """Tell how it is now."""
        spooled = frozenset[str]() if self.spool is None else await self.spool.key_ids()
        await self.holders.tell(
            HolderReport(
                id=self.id,
                process=self.process,
                host=socket.gethostname(),
                pid=os.getpid(),
                spool=None if self.spool is None else self.spool.place,
                key_ids=self.keyring.key_ids,
                spooled_keys=spooled,
            )
        )

    async def withdraw(self) -> None:
        """Say that this process has ended, unless it leaves answers in its spool: then it is told of until another looks after them."""
        if self.spool is not None and await self.spool.key_ids():
            await self()
            return
        await self.holders.withdraw(self.id)
