"""AES-256-GCM with a random nonce, in the one form in which we store it.

A sealed text is a format byte (1), a nonce of 96 random bits (NIST SP 800-38D, section 8.2.2), then the ciphertext
with its 128-bit tag. The format byte is authenticated too, so a later format can't be passed off as this one.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenkeep.domain.errors import VaultError

KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 1 + 12 + 16

_FORMAT: Final = b"\x01"
_NONCE_BYTES: Final = 12
_BODY: Final = len(_FORMAT) + _NONCE_BYTES


class Aead:
    """One 256-bit key, ready to use."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            msg = f"an AES-256 key has {KEY_BYTES} bytes"
            raise ValueError(msg)
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """The sealed text. It opens only with the same context.

        One key may seal up to 2^32 texts (NIST SP 800-38D, section 8.3).
        """
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plaintext, _FORMAT + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext.

        Raises:
            VaultError: The text was altered, or sealed by another key or for another context. Which, is not told.
        """
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != _FORMAT:
            raise refusal()
        try:
            return self._cipher.decrypt(sealed[1:_BODY], sealed[_BODY:], _FORMAT + context)
        except InvalidTag:
            raise refusal() from None


def refusal() -> VaultError:
    """The error of everything that does not open: it tells nobody why."""
    return VaultError("the ciphertext does not open")
