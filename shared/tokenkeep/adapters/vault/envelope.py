"""Envelope encryption: a data key for each owner, wrapped by the keyring; each field sealed to its row and version.

What a ciphertext is bound to (its associated data), so that no row's ciphertext opens in another's place:

- a wrapped data key: its owner and the id of the key that wraps it;
- a field: its owner, the field's name, and the credentials' epoch and generation.
"""

import secrets
import struct
from functools import lru_cache
from typing import Final
from uuid import UUID

from tokenkeep.adapters.vault.aead import KEY_BYTES, Aead, refusal
from tokenkeep.adapters.vault.key_wrapper import KeyWrapper
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.secret import Secret

_KEY_CONTEXT: Final = b"tokenkeep.key"
_FIELD_CONTEXT: Final = b"tokenkeep.field"
_VERSION: Final = struct.Struct(">QQ")
# JSON can spell half a surrogate pair, and an encoder's error would carry the secret along.
_ANY_TEXT: Final = "surrogatepass"


class Vault:
    """Seals and opens the fields of one owner's rows (an account's, or a source's) by the owner's data key.

    Unwrapped data keys are kept, up to `cached_keys` of them, the longest unused going first; so settling a refresh
    whose token was opened before needs no unwrapping. A wrapping key that is taken from the ring therefore stays of
    use to a running process for the data keys it has in memory.
    """

    __slots__ = ("_data_key", "_wrapper")

    def __init__(self, keyring: KeyWrapper, *, cached_keys: int = 10_000) -> None:
        self._wrapper = keyring
        self._data_key = lru_cache(maxsize=cached_keys)(self._unwrapped)

    def new_data_key(self, owner: UUID) -> SealedKey:
        """A new random data key for this owner, wrapped by the current key."""
        return self._wrapped(owner.bytes, secrets.token_bytes(KEY_BYTES))

    def rewrap(self, owner: UUID, key: SealedKey) -> SealedKey:
        """The same data key, wrapped by the current key: what it sealed still opens. As it is, if it was already.

        Raises:
            UnknownKey: The keyring does not hold the key that it is wrapped by.
            VaultError: It does not open for this owner.
        """
        if key.key_id == self._wrapper.key_id:
            return key
        return self._wrapped(owner.bytes, self._data_key(owner.bytes, key.key_id, key.wrapped))

    def seal(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], plaintext: bytes) -> bytes:
        """The ciphertext of one field, bound to the owner, the field and its (epoch, generation).

        Raises:
            UnknownKey: The keyring does not hold the key that wraps the data key.
            VaultError: The data key does not open for this owner.
        """
        cipher = Aead(self._data_key(owner.bytes, key.key_id, key.wrapped))
        return cipher.seal(plaintext, _field_context(owner.bytes, field, version))

    def open(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], ciphertext: bytes) -> bytes:
        """The plaintext of one field.

        Raises:
            UnknownKey: The keyring does not hold the key that wraps the data key.
            VaultError: The ciphertext was altered, or belongs to another owner, field, version or key.
        """
        cipher = Aead(self._data_key(owner.bytes, key.key_id, key.wrapped))
        return cipher.open(ciphertext, _field_context(owner.bytes, field, version))

    def seal_text(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], secret: Secret) -> bytes:
        """`seal` for a secret text."""
        return self.seal(owner, key, field, version, secret.reveal().encode(errors=_ANY_TEXT))

    def open_secret(
        self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], ciphertext: bytes
    ) -> Secret:
        """`open` for a secret text. A plaintext that is no text is a `VaultError` too."""
        plaintext = self.open(owner, key, field, version, ciphertext)
        try:
            return Secret(plaintext.decode(errors=_ANY_TEXT))
        except UnicodeDecodeError:
            pass
        # Outside of the handler: the decoder's error holds the plaintext, and would go along as the context.
        raise refusal()

    def __repr__(self) -> str:
        return "Vault()"

    def _wrapped(self, owner: bytes, data_key: bytes) -> SealedKey:
        key_id = self._wrapper.key_id
        return SealedKey(key_id, self._wrapper.wrap(key_id, data_key, _key_context(owner, key_id)))

    def _unwrapped(self, owner: bytes, key_id: str, wrapped: bytes) -> bytes:
        # The key and not its cipher is kept: that takes 2.6 KB, and less than a microsecond to make.
        return self._wrapper.unwrap(key_id, wrapped, _key_context(owner, key_id))


def _key_context(owner: bytes, key_id: str) -> bytes:
    return _KEY_CONTEXT + owner + key_id.encode()


def _field_context(owner: bytes, field: str, version: tuple[int, int]) -> bytes:
    # All parts but the name are of fixed length and the name comes last, so no two rows have the same context.
    return _FIELD_CONTEXT + owner + _VERSION.pack(*version) + field.encode()
