"""Stores are opened as the settings name them, and what can't be understood is named."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from memory_store import MemoryStore
from tokenkeep.adapters.credential_stores.directory import DirectoryStore
from tokenkeep.adapters.credential_stores.hashicorp_vault import HashicorpVaultStore
from tokenkeep.adapters.credential_stores.opening import GROUP, open_stores
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

VAULT = Vault(Keyring.generate())
TOKEN = VaultLogin(Secret("hvs.canary"))
FOUND = (
    EntryPoint("memory", "memory_store:MemoryStore", GROUP),
    EntryPoint("broken", "memory_store:raises", GROUP),
    EntryPoint("exiting", "memory_store:exits", GROUP),
    EntryPoint("half", "memory_store:Half", GROUP),
)


def opened(current: str, *former: str, login: VaultLogin = TOKEN) -> Any:
    return open_stores(VAULT, current, former, login, found=FOUND)


def test_without_a_word_everything_lies_in_the_database() -> None:
    stores = opened("postgres")
    assert (stores.in_use, stores.current, stores.kinds) == (False, None, ())


async def test_each_kind_is_opened() -> None:
    stores = opened("directory:/var/lib/creds", "memory:anything", "vault+https://vault.test:8200/kv/a/b?namespace=n")
    assert (stores.current, stores.kinds) == ("directory", ("directory", "memory", "vault"))
    kinds = [type(store) for store in stores._stores.values()]
    assert kinds == [DirectoryStore, MemoryStore, HashicorpVaultStore]
    await stores.close()


def test_a_store_that_is_only_read_is_not_written_to() -> None:
    stores = opened("postgres", "memory:x")
    assert (stores.in_use, stores.current) == (True, None)


@pytest.mark.parametrize(
    ("current", "former", "login", "complaint"),
    [
        ("directory:relative", (), TOKEN, "TOKENKEEP_CREDENTIAL_STORE: directory: wants an absolute path"),
        ("memory:a", ("memory:b",), TOKEN, r"TOKENKEEP_FORMER_CREDENTIAL_STORES: .* memory is named twice"),
        ("nobody:x", (), TOKEN, "which nobody is not"),
        ("vault+https://vault.test", (), TOKEN, "must be like vault"),
        ("vault+https://vault.test/kv", (), TOKEN, "must be like vault"),
        ("vault+https://vault.test/kv/x", (), VaultLogin(), "TOKENKEEP_VAULT_TOKEN, or"),
        ("vault+https://vault.test/kv/x", (), VaultLogin(role_id=Secret("r")), "TOKENKEEP_VAULT_TOKEN, or"),
        ("broken:x", (), TOKEN, "the store broken can't be opened: RuntimeError"),
        ("exiting:x", (), TOKEN, "the store exiting can't be opened: SystemExit"),
        ("half:x", (), TOKEN, "the store half lacks one of put, get, remove, names, close"),
    ],
)
def test_what_is_wrong_is_named(current: str, former: tuple[str, ...], login: VaultLogin, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        opened(current, *former, login=login)
    assert "canary" not in str(caught.value)
