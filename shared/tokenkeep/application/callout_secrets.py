"""The secrets that refresh callouts are signed with, one for each source that has callouts."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from tokenkeep.application.ports import Vault
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.options import CALLOUT_URL

FIELD: Final = "refresh_callout_secret"
_SEALED_AS: Final = "callout_secret"
# Not bound to the client's version: a release before this column changes clients without knowing of it.
_VERSION: Final = (0, 0)
_PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24
_MOST_BYTES: Final = 64


def check_callout(options: Mapping[str, Any], secret: Secret | None, *, held: bool = False) -> None:
    """See that callouts could be signed.

    Args:
        options: The source's options.
        secret: What is to be signed with from now on, if it is given.
        held: Whether the source has one already that it keeps.

    Raises:
        InvalidInput: The secret is missing though there is a callout, or is none by Standard Webhooks.
    """
    if secret is None:
        if options.get(CALLOUT_URL) is not None and not held:
            raise InvalidInput(FIELD, f"{CALLOUT_URL} needs one")
        return
    text = secret.reveal()
    if not text.startswith(_PREFIX) or not _FEWEST_BYTES <= len(_decoded(text.removeprefix(_PREFIX))) <= _MOST_BYTES:
        raise InvalidInput(FIELD, f"expected {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} random bytes in base64")


def seal_callout_secret(vault: Vault, source_id: SourceId, key: SealedKey, secret: Secret | None) -> bytes | None:
    """The secret as it is stored."""
    if secret is None:
        return None
    return vault.seal(source_id, key, _SEALED_AS, _VERSION, secret.reveal().encode())


def callout_secret_of(vault: Vault, source: SourceConfig) -> Secret:
    """The secret of a source that has callouts.

    Raises:
        VaultError: It does not open.
        InvalidInput: There is none.
    """
    if source.callout_secret_ciphertext is None:
        raise InvalidInput(FIELD, f"{CALLOUT_URL} needs one")
    sealed = source.callout_secret_ciphertext
    return Secret(vault.open(source.id, source.sealed_key, _SEALED_AS, _VERSION, sealed).decode())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
