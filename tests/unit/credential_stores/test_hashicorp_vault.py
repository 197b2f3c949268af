"""HashiCorp Vault as a store: logins, namespaces, and answers that are lost. Against a server that speaks its API."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tokenkeep.adapters.credential_stores.hashicorp_vault import HashicorpVaultStore
from tokenkeep.adapters.demo_provider import ProviderServer
from tokenkeep.adapters.hashicorp_http import VaultLogin, VaultRefused
from tokenkeep.domain.credential_store import KeptName
from tokenkeep.domain.secret import Secret
from vault_server import NAMESPACE, ROLE_ID, ROOT_TOKEN, SECRET_ID, VaultServer

NAME = str(KeptName.new(uuid4(), epoch=1, generation=2, fence=3))
BY_ROLE = VaultLogin(role_id=Secret(ROLE_ID), secret_id=Secret(SECRET_ID))


@pytest.fixture
def vault() -> VaultServer:
    return VaultServer()


@pytest.fixture
async def served(vault: VaultServer) -> AsyncIterator[ProviderServer]:
    async with vault.serve() as server:
        yield server


def store_of(served: ProviderServer, login: VaultLogin, namespace: str | None = None) -> HashicorpVaultStore:
    return HashicorpVaultStore(served.url, mount="secret", prefix="tokenkeep", namespace=namespace, login=login)


async def test_a_role_logs_in_once_and_again_when_its_token_is_refused(
    vault: VaultServer, served: ProviderServer
) -> None:
    store = store_of(served, BY_ROLE)
    await store.put(NAME, b"sealed")
    await store.get(NAME)
    assert vault.logins == 1
    vault.tokens.clear()
    assert await store.get(NAME) == b"sealed"
    assert vault.logins == 2
    await store.close()


async def test_a_role_that_may_not_log_in_is_told_by_the_status_alone(served: ProviderServer) -> None:
    store = store_of(served, VaultLogin(role_id=Secret(ROLE_ID), secret_id=Secret("canary")))
    with pytest.raises(VaultRefused, match=r"^Vault answered 400$"):
        await store.put(NAME, b"sealed")
    await store.close()


async def test_a_login_without_a_token_is_told_by_the_status_alone(vault: VaultServer, served: ProviderServer) -> None:
    vault.tokenless = True
    store = store_of(served, BY_ROLE)
    with pytest.raises(VaultRefused, match=r"^Vault answered 200$"):
        await store.put(NAME, b"sealed")
    await store.close()


async def test_a_token_that_is_refused_stays_refused(vault: VaultServer, served: ProviderServer) -> None:
    store = store_of(served, VaultLogin(Secret("canary")))
    with pytest.raises(VaultRefused, match=r"^Vault answered 403$"):
        await store.get(NAME)
    assert vault.logins == 0
    await store.close()


async def test_a_write_whose_acknowledgement_was_lost_can_be_repeated(
    vault: VaultServer, served: ProviderServer
) -> None:
    store = store_of(served, VaultLogin(Secret(ROOT_TOKEN)))
    vault.losing = 1
    with pytest.raises(VaultRefused, match="502"):
        await store.put(NAME, b"sealed")
    await store.put(NAME, b"sealed")
    with pytest.raises(VaultRefused, match="400"):
        await store.put(NAME, b"other")
    await store.close()


async def test_it_asks_in_its_namespace(vault: VaultServer, served: ProviderServer) -> None:
    vault.namespace = NAMESPACE
    store = store_of(served, VaultLogin(Secret(ROOT_TOKEN)), NAMESPACE)
    await store.put(NAME, b"sealed")
    assert list(vault.secrets) == [f"tokenkeep/{NAME}"]
    await store.close()


async def test_a_sealed_vault_is_no_empty_one(vault: VaultServer, served: ProviderServer) -> None:
    vault.sealed = True
    store = store_of(served, VaultLogin(Secret(ROOT_TOKEN)))
    for ask in (store.get(NAME), store.put(NAME, b""), store.remove(NAME), anext(aiter(store.names()))):
        with pytest.raises(VaultRefused, match="503"):
            await ask
    await store.close()


async def test_what_is_there_and_is_not_ours_is_no_credentials(vault: VaultServer, served: ProviderServer) -> None:
    store = store_of(served, VaultLogin(Secret(ROOT_TOKEN)))
    vault.secrets[f"tokenkeep/{NAME}"] = {"password": "canary"}
    with pytest.raises(VaultRefused, match=r"^Vault answered 200$"):
        await store.get(NAME)
    await store.close()
