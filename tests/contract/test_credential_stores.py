"""Every credential store keeps what it is given, under its name, and nothing else happens to it."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tokenkeep.adapters.credential_stores.directory import DirectoryStore
from tokenkeep.adapters.credential_stores.hashicorp_vault import HashicorpVaultStore
from tokenkeep.adapters.hashicorp_http import VaultLogin, VaultRefused
from tokenkeep.domain.credential_store import CredentialStore, KeptName
from tokenkeep.domain.errors import NotStored
from tokenkeep.domain.secret import Secret
from vault_server import ROOT_TOKEN, VaultServer

SEALED = bytes(range(256)) * 8


def a_name(**changes: int) -> str:
    numbers = {"epoch": 1, "generation": 2, "fence": 3, **changes}
    return str(KeptName.new(uuid4(), **numbers))


@pytest.fixture(params=["directory", "vault"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CredentialStore]:
    if request.param == "directory":
        yield DirectoryStore(tmp_path)
        return
    async with VaultServer().serve() as server:
        login = VaultLogin(Secret(ROOT_TOKEN))
        opened = HashicorpVaultStore(server.url, mount="secret", prefix="apps/tokenkeep", namespace=None, login=login)
        yield opened
        await opened.close()


async def test_what_was_put_is_there(store: CredentialStore) -> None:
    one, other = a_name(), a_name()
    await store.put(one, SEALED)
    await store.put(other, b"")
    assert await store.get(one) == SEALED
    assert await store.get(other) == b""


async def test_what_was_never_put_is_not_there(store: CredentialStore) -> None:
    await store.put(a_name(), SEALED)
    with pytest.raises(NotStored):
        await store.get(a_name())


async def test_the_same_may_be_put_twice_and_nothing_else_in_its_place(store: CredentialStore) -> None:
    name = a_name()
    await store.put(name, SEALED)
    await store.put(name, SEALED)
    with pytest.raises((FileExistsError, VaultRefused)):  # to its users: it can't be had
        await store.put(name, b"other")
    assert await store.get(name) == SEALED


async def test_what_was_removed_is_gone_and_may_be_removed_again(store: CredentialStore) -> None:
    name, other = a_name(), a_name()
    await store.put(name, SEALED)
    await store.put(other, SEALED)
    await store.remove(name)
    await store.remove(name)
    with pytest.raises(NotStored):
        await store.get(name)
    assert await store.get(other) == SEALED


async def test_a_store_tells_what_is_in_it(store: CredentialStore) -> None:
    assert [name async for name in store.names()] == []
    names = {a_name(generation=n) for n in range(1, 30)}
    for name in names:
        await store.put(name, SEALED)
    found = [name async for name in store.names()]
    assert len(found) == len(names)
    assert set(found) == names
