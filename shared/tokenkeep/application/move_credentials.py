"""Move credentials to where they belong: into the credential store, out of a former one, or back into the database.

What the API takes, and what a settlement could not put away beforehand, rests in the database until it is moved; so does all
that was there before there was a store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tokenkeep.application.credential_stores import POINTER_MARK, CredentialStores, pointer
from tokenkeep.application.ports import Vault
from tokenkeep.application.sealing import ACCESS, REFRESH
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.credential_store import KeptAt, KeptName
from tokenkeep.domain.errors import NotStored, VaultError

_PAGE = 500


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """What a row of credentials holds, or refers to, and for which version."""

    account_id: UUID
    epoch: int
    generation: int
    installed_fence: int
    sealed_key: SealedKey
    access: bytes
    refresh: bytes | None

    @property
    def place(self) -> tuple[int, int]:
        """Its epoch and generation."""
        return self.epoch, self.generation


class CredentialRows(Protocol):
    """Credentials as they lie in the database; each call is a transaction of its own."""

    async def page(
        self, after: UUID, *, limit: int, mark: bytes, marked: bool
    ) -> tuple[Sequence[CredentialRow], UUID | None]: ...

    async def replace(self, row: CredentialRow, access: bytes, refresh: bytes | None) -> bool: ...

    async def places(self, account_ids: Sequence[UUID]) -> Mapping[UUID, tuple[int, int]]: ...


class MoveObserver(Protocol):
    """Hears of credentials that could not be moved."""

    def not_moved(self, account_id: UUID, error: Exception) -> None: ...


class MoveCredentials:
    """Goes through all accounts, a page with each call, and then from the beginning. Any number may do so at once."""

    def __init__(
        self, stores: CredentialStores, vault: Vault, rows: CredentialRows, observer: MoveObserver, *, page: int = _PAGE
    ) -> None:
        self._stores = stores
        self._vault = vault
        self._rows = rows
        self._observer = observer
        self._page = page
        self._after = UUID(int=0)

    async def __call__(self) -> bool:
        """Whether there is more to look at in this round.

        Raises what the database raises, or `StoreUnavailable`: the same page is looked at again then.
        """
        # Pointers are of interest only where there are former stores.
        marked = self._stores.current is None or len(self._stores.kinds) > 1
        rows, last = await self._rows.page(self._after, limit=self._page, mark=POINTER_MARK, marked=marked)
        for row in rows:
            try:
                await self._move(row)
            except (VaultError, NotStored) as error:
                self._observer.not_moved(row.account_id, error)
        self._after = last or UUID(int=0)
        return last is not None

    async def _move(self, row: CredentialRow) -> None:
        at = self._stores.at(row.account_id, row.sealed_key, ACCESS, row.access, row.place)
        if (None if at is None else at.store) == self._stores.current:
            return
        access, refresh = row.access, row.refresh
        if at is not None:
            found = await self._stores.get(at)
            access, refresh = found[ACCESS], found.get(REFRESH)
        held = (access, refresh)
        target = self._target(row)
        if target is not None:
            owner, key, place = row.account_id, row.sealed_key, row.place
            held = (
                pointer(self._vault, owner, key, ACCESS, place=place, at=target[1]),
                None if refresh is None else pointer(self._vault, owner, key, REFRESH, place=place, at=target[1]),
            )
            await self._stores.put(target[0], access, refresh)
        replaced = await self._rows.replace(row, *held)
        # Whoever replaced it meanwhile has looked after what lay there before.
        useless = at if replaced else None if target is None else target[1]
        if useless is not None:
            await self._stores.remove(useless)

    def _target(self, row: CredentialRow) -> tuple[KeptName, KeptAt] | None:
        """Where it is to lie; None: in the row itself."""
        if self._stores.current is None:
            return None
        name = KeptName.new(row.account_id, epoch=row.epoch, generation=row.generation, fence=row.installed_fence)
        return name, KeptAt(self._stores.current, str(name))
