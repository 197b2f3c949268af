"""A store is somebody else's code: whatever it raises is a store that can't be had, and nothing that ends the process."""

from collections.abc import AsyncIterator

import pytest

from memory_store import MemoryStore
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.domain.credential_store import KeptAt
from tokenkeep.domain.errors import StoreUnavailable


class Exiting(MemoryStore):
    """Wants the process to end, as a library does that calls `sys.exit()`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def get(self, _name: str) -> bytes:
        raise self._error

    async def names(self) -> AsyncIterator[str]:
        yield "first"
        raise self._error

    async def close(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), RuntimeError("canary")])
async def test_a_store_that_raises_can_not_be_had(error: BaseException) -> None:
    stores = CredentialStores(Vault(Keyring.generate()), {"exiting": Exiting(error)})
    with pytest.raises(StoreUnavailable) as caught:
        await stores.get(KeptAt("exiting", "x"))
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
async def test_neither_listing_nor_closing_a_store_ends_the_process(error: BaseException) -> None:
    stores = CredentialStores(Vault(Keyring.generate()), {"exiting": Exiting(error)})
    names = stores.names("exiting")
    assert await anext(names) == "first"
    with pytest.raises(StoreUnavailable):
        await anext(names)
    with pytest.raises(StoreUnavailable):
        await stores.close()
