"""The secrets that deliveries are signed with: made here, sealed under a data key of their webhook's own."""

import base64
import secrets
from collections.abc import Sequence
from typing import Final

from tokenkeep.application.ports import Vault
from tokenkeep.application.webhooks import SECRET_FIELD, SealedSecret
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import WebhookId
from tokenkeep.domain.secret import Secret

_PREFIX: Final = "whsec_"
_BYTES: Final = 32


def new_webhook_secret() -> Secret:
    """256 random bits in the form of Standard Webhooks."""
    return Secret(_PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode())


def seal_webhook_secret(
    vault: Vault, webhook_id: WebhookId, key: SealedKey, secret: Secret, *, version: int
) -> SealedSecret:
    """The secret as it is stored."""
    sealed = vault.seal(webhook_id, key, SECRET_FIELD, (version, 0), secret.reveal().encode())
    return SealedSecret(version, sealed, None)


def open_webhook_secrets(
    vault: Vault, webhook_id: WebhookId, key: SealedKey, sealed: Sequence[SealedSecret]
) -> list[Secret]:
    """The secrets, in their order. Raises `VaultError` when one does not open."""
    return [
        Secret(vault.open(webhook_id, key, SECRET_FIELD, (one.version, 0), one.ciphertext).decode()) for one in sealed
    ]
