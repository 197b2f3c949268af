"""The credential stores that the settings name.

`postgres` is the database's own columns. `directory:/path`, `vault+https://host:8200/mount/path` (`?namespace=…`), and
`KIND:REST` for the entry point `KIND` of the group `tokenkeep.credential_stores`: a function that takes REST and gives a
`CredentialStore` (`domain.credential_store`), nothing of it connected.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tokenkeep.adapters.credential_stores.directory import DirectoryStore
from tokenkeep.adapters.credential_stores.hashicorp_vault import HashicorpVaultStore
from tokenkeep.adapters.entry_points import entry_points
from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.ports import Vault
from tokenkeep.domain.credential_store import CredentialStore
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

GROUP: Final = "tokenkeep.credential_stores"
_CURRENT: Final = "TOKENKEEP_CREDENTIAL_STORE"
_FORMER: Final = "TOKENKEEP_FORMER_CREDENTIAL_STORES"
_BUILT_IN: Final = "postgres"
_METHODS: Final = ("put", "get", "remove", "names", "close")


def open_stores(
    vault: Vault,
    current: str,
    former: Sequence[str],
    login: VaultLogin,
    *,
    owner: Callable[[], Awaitable[Secret]] | None = None,
    found: Iterable[EntryPoint] | None = None,
) -> CredentialStores:
    """The stores, nothing of them connected.

    Args:
        vault: What seals where credentials lie.
        current: The store that new credentials go to.
        former: Those that are read as well.
        login: How to log in at HashiCorp Vault.
        owner: What this installation is known by; without it, stores are only read.
        found: The entry points to take instead of those that are installed.

    Raises:
        SettingsError: One can't be understood or loaded, or is named twice.
    """
    installed = entry_points(GROUP) if found is None else tuple(found)
    stores: dict[str, CredentialStore] = {}
    for setting, text in ((_CURRENT, current), *((_FORMER, text) for text in former)):
        if text == _BUILT_IN:
            continue
        kind = _kind_of(text)
        if kind in stores:
            raise SettingsError(f"{setting}: there can be one store of a kind, and {kind} is named twice")
        stores[kind] = _opened(setting, text, login, installed)
    return CredentialStores(vault, stores, current=None if current == _BUILT_IN else _kind_of(current), owner=owner)


def _kind_of(text: str) -> str:
    kind = text.partition(":")[0]
    return "vault" if kind in {"vault+https", "vault+http"} else kind


def _opened(setting: str, text: str, login: VaultLogin, installed: Sequence[EntryPoint]) -> CredentialStore:
    kind, _, rest = text.partition(":")
    if kind == "directory":
        path = Path(rest).expanduser()
        if not path.is_absolute():
            raise SettingsError(f"{setting}: directory: wants an absolute path")
        return DirectoryStore(path)
    if _kind_of(text) == "vault":
        return _vault(setting, text, login)
    points = [point for point in installed if point.name == kind]
    if len(points) != 1:
        raise SettingsError(
            f"{setting}: must be postgres, directory:/path, vault+https://host/mount/path, or the name of an installed"
            f" store (entry point of {GROUP}), which {kind} is not"
        )
    return _installed(setting, points[0], rest)


def _vault(setting: str, text: str, login: VaultLogin) -> CredentialStore:
    parts = urlsplit(text.removeprefix("vault+"))
    mount, _, prefix = parts.path.strip("/").partition("/")
    if not parts.hostname or not mount or not prefix or parts.username is not None:
        raise SettingsError(f"{setting}: must be like vault+https://host:8200/mount/path")
    if not login.is_whole:
        raise SettingsError(
            f"{setting}: vault wants TOKENKEEP_VAULT_TOKEN, or TOKENKEEP_VAULT_ROLE_ID and TOKENKEEP_VAULT_SECRET_ID"
        )
    return HashicorpVaultStore(
        f"{parts.scheme}://{parts.netloc}",
        mount=mount,
        prefix=prefix,
        namespace=parse_qs(parts.query).get("namespace", [None])[0],
        login=login,
    )


def _installed(setting: str, point: EntryPoint, rest: str) -> CredentialStore:
    try:
        store: CredentialStore = point.load()(rest)
    except (Exception, SystemExit) as error:
        raise SettingsError(f"{setting}: the store {point.name} can't be opened: {type(error).__name__}") from error
    if not all(callable(getattr(store, method, None)) for method in _METHODS):
        raise SettingsError(f"{setting}: the store {point.name} lacks one of {', '.join(_METHODS)}")
    return store
