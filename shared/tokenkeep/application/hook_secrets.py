"""The secrets that providers sign their notices with."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tokenkeep.application.ports import Vault
from tokenkeep.application.provider_notices import HookedSource
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.hook_rules import HookSecret, ProviderHooks

FIELD: Final = "hook_secret"
FORMER_FOR: Final = timedelta(hours=24)
"""For how long a hook secret that was replaced is still taken: a provider may sign with it for a while."""

_SEALED_AS: Final = "hook_secret"
_VERSION: Final = (0, 0)


def check_hook_secret(provider: Provider, secret: Secret | None) -> None:
    """See that the secret would be of use.

    Raises:
        InvalidInput: The provider signs nothing with such a secret.
    """
    if secret is not None and (provider.hooks is None or not provider.hooks.takes_secret):
        raise InvalidInput(FIELD, f"{provider.slug} has no hooks that are signed with one")


def seal_hook_secret(vault: Vault, source_id: SourceId, key: SealedKey, secret: Secret) -> bytes:
    """The secret as it is stored."""
    return vault.seal(source_id, key, _SEALED_AS, _VERSION, secret.reveal().encode())


def hook_secrets_of(clients: SourceClients, source: HookedSource, hooks: ProviderHooks) -> Sequence[Secret]:
    """What the provider's notices to this source may be signed with.

    Where they are signed with the client secret, the hook secret counts too: so the former client secret can be given for as long as
    the provider signs with it.

    Raises:
        VaultError: One of them does not open.
    """
    config = source.config
    sealed = [one for one in (source.hook_secret_ciphertext, source.former_hook_secret_ciphertext) if one is not None]
    opened = [clients.vault.open(config.id, config.sealed_key, _SEALED_AS, _VERSION, one) for one in sealed]
    secrets = [Secret(plain.decode()) for plain in opened]
    client_secret = clients.secret_of(config) if hooks.secret is HookSecret.CLIENT_SECRET else None
    return secrets if client_secret is None else [client_secret, *secrets]
