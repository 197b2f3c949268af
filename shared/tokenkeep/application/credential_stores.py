"""Credentials that lie outside of the database: their row holds where, sealed, in the place of the ciphertexts.

A store holds the very ciphertexts that the row would hold. They are bound to their account, field, epoch and generation, so
what comes back from a store either is what was put there or does not open.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from tokenkeep.application.ports import Vault
from tokenkeep.application.sealing import ACCESS, REFRESH
from tokenkeep.domain.credential import CredentialVersion, SealedKey
from tokenkeep.domain.credential_store import CredentialStore, KeptAt, KeptName
from tokenkeep.domain.errors import NotStored, StoredElsewhere, StoreTaken, StoreUnavailable
from tokenkeep.domain.secret import Secret

POINTER_MARK: Final = b"P"
"""What a pointer begins with. No ciphertext does: it begins with the number of its format."""

_DEADLINE_S: Final = 5.0
_MARK: Final = "000/owner"
_POINTERS: Final = {ACCESS: "access.at", REFRESH: "refresh.at"}
_MOST_READS: Final = 3

T = TypeVar("T")


class CredentialStores:
    """The stores that this process knows, by kind. `current` is where new credentials go; None: into the database.

    Each call of a store has a deadline; whatever a store raises becomes `StoreUnavailable`, without its words.
    """

    def __init__(
        self,
        vault: Vault,
        stores: Mapping[str, CredentialStore] = MappingProxyType({}),
        *,
        current: str | None = None,
        owner: Callable[[], Awaitable[Secret]] | None = None,
        deadline_s: float = _DEADLINE_S,
    ) -> None:
        self._vault = vault
        self._stores = dict(stores)
        self.current = current
        self._owner = owner
        self._claimed: set[str] = set()
        self._deadline_s = deadline_s

    @property
    def in_use(self) -> bool:
        """Whether there is any store besides the database."""
        return bool(self._stores)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What stores there are."""
        return tuple(self._stores)

    def at(self, owner: UUID, key: SealedKey, field: str, ciphertext: bytes, place: tuple[int, int]) -> KeptAt | None:
        """Where the ciphertext lies; None when this is it. `place` is its epoch and generation.

        Raises:
            VaultError: The pointer does not open.
        """
        if ciphertext[:1] != POINTER_MARK:
            return None
        said = json.loads(self._vault.open(owner, key, _POINTERS[field], place, ciphertext[1:]))
        return KeptAt(said["store"], said["name"])

    async def claim(self, kind: str) -> None:
        """See that the store is this installation's, and nobody else's; who comes first, has it.

        Nothing is written into it, and nothing swept, before that: two installations would take each other's credentials for
        leftovers.

        Raises:
            StoreTaken: It is another installation's.
            StoreUnavailable: It can't be had, or this process is one that only reads.
        """
        if kind in self._claimed:
            return
        if self._owner is None:
            raise StoreUnavailable(kind, "NoOwner")
        mark = sha256((await self._owner()).reveal().encode()).hexdigest().encode()
        try:
            await self._asked(kind, lambda store: store.put(_MARK, mark))
        except StoreUnavailable:
            if await self._asked(kind, lambda store: store.get(_MARK)) != mark:
                raise StoreTaken(kind) from None
        self._claimed.add(kind)

    async def put(self, name: KeptName, access: bytes, refresh: bytes | None) -> KeptAt:
        """Put ciphertexts into the current store. They would outlive a crash when it returns.

        Raises:
            StoreUnavailable: It may or may not be there.
            Besides what the database raises, which is asked once whose the store is.
        """
        kind = self.current
        if kind is None:
            raise StoreUnavailable("none")
        await self.claim(kind)
        document = {"access": _text(access), "refresh": None if refresh is None else _text(refresh)}
        await self._asked(kind, lambda store: store.put(str(name), json.dumps(document).encode()))
        return KeptAt(kind, str(name))

    async def column(
        self, owner: UUID, key: SealedKey, field: str, ciphertext: bytes, version: CredentialVersion
    ) -> bytes:
        """The ciphertext, wherever it lies.

        Raises:
            VaultError: The pointer does not open.
            NotStored: There is nothing where it leads: the credentials were replaced meanwhile, or are lost.
            StoreUnavailable: The store can't be had.
        """
        at = self.at(owner, key, field, ciphertext, _place(version))
        return ciphertext if at is None else (await self.get(at))[field]

    async def get(self, at: KeptAt) -> Mapping[str, bytes]:
        """The ciphertexts there, by field. Raises as `column` does."""
        content = await self._asked(at.store, lambda store: store.get(at.name))
        try:
            said = json.loads(content)
            return {field: base64.b64decode(said[field]) for field in (ACCESS, REFRESH) if said[field] is not None}
        except (ValueError, KeyError, TypeError):
            raise NotStored(at.name) from None

    async def remove(self, at: KeptAt) -> None:
        """Take it away. Raises `StoreUnavailable`."""
        await self._asked(at.store, lambda store: store.remove(at.name))

    async def names(self, kind: str) -> AsyncIterator[str]:
        """Everything in one store. Raises what the store raises, which has its own deadlines, but for what ends a process."""
        try:
            async for name in self._stores[kind].names():
                yield name
        except (SystemExit, KeyboardInterrupt) as error:
            raise StoreUnavailable(kind, type(error).__name__) from None

    async def close(self) -> None:
        """Close every store."""
        for kind, store in self._stores.items():
            try:
                await store.close()
            except (SystemExit, KeyboardInterrupt) as error:
                raise StoreUnavailable(kind, type(error).__name__) from None

    async def _asked(self, kind: str, ask: Callable[[CredentialStore], Awaitable[T]]) -> T:
        store = self._stores.get(kind)
        if store is None:
            raise StoreUnavailable(kind)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await ask(store)
        except NotStored:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a store is somebody else's code; from None, for its words may hold anything
            fault = type(error).__name__
        raise StoreUnavailable(kind, fault)


class Fetched:
    """What was read from stores before the transaction that needs it: nothing is read inside of one."""

    def __init__(self, stores: CredentialStores) -> None:
        self._stores = stores
        self._documents: dict[KeptAt, Mapping[str, bytes]] = {}

    def column(self, owner: UUID, key: SealedKey, field: str, ciphertext: bytes, version: CredentialVersion) -> bytes:
        """The ciphertext, wherever it lies.

        Raises:
            VaultError: The pointer does not open.
            StoredElsewhere: It was not fetched. The transaction is to be given up, this fetched, and all begun anew.
        """
        at = self._stores.at(owner, key, field, ciphertext, _place(version))
        if at is None:
            return ciphertext
        if at not in self._documents:
            raise StoredElsewhere(at)
        found = self._documents[at].get(field)
        if found is None:
            raise NotStored(at.name)
        return found

    async def fetch(self, at: KeptAt) -> None:
        """Read what lies there. What is not there is noted as empty."""
        try:
            self._documents[at] = await self._stores.get(at)
        except NotStored:
            self._documents[at] = {}


async def having_fetched(stores: CredentialStores, act: Callable[[Fetched], Awaitable[T]]) -> T:
    """Do something in a transaction of its own, with what it needs of the stores fetched before it.

    Raises:
        StoreUnavailable: A store can't be had, or the credentials are replaced each time that they were fetched.
    """
    fetched = Fetched(stores)
    for _ in range(_MOST_READS):
        try:
            return await act(fetched)
        except StoredElsewhere as elsewhere:
            at = elsewhere.at
        await fetched.fetch(at)
    raise StoreUnavailable(at.store)


def pointer(vault: Vault, owner: UUID, key: SealedKey, field: str, *, place: tuple[int, int], at: KeptAt) -> bytes:
    """What a row of this epoch and generation holds instead of the ciphertext."""
    said = json.dumps({"store": at.store, "name": at.name}).encode()
    return POINTER_MARK + vault.seal(owner, key, _POINTERS[field], place, said)


def _place(version: CredentialVersion) -> tuple[int, int]:
    return version.epoch, version.generation


def _text(ciphertext: bytes) -> str:
    return base64.b64encode(ciphertext).decode()
