"""The keyring: the wrapping keys by name, the first of them current.

Its text is one `key_id:key` a line, the key being 32 bytes in base64url. Commas separate entries as well, so that a
keyring fits into an environment variable; `#` begins a comment. To rotate, put a new entry first and keep the old ones
until no row names them.

Entries are told by their number in messages, never by their text: someone may have swapped id and key.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterator
from typing import Final, Self

from tokenkeep.adapters.vault.aead import KEY_BYTES, Aead
from tokenkeep.domain.errors import SettingsError, UnknownKey
from tokenkeep.domain.secret import Secret

KEYRING_SETTING: Final = "TOKENKEEP_KEYRING"

# Shorter than any key, so that a key in the id's place is never taken, nor shown, for an id.
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_KEY = re.compile(r"[A-Za-z0-9_-]{43}=?")


class Keyring:
    """Wrapping keys, held in memory. A `KeyWrapper`. Its repr shows ids only."""

    __slots__ = ("_ciphers", "_keys")

    def __init__(self, keys: dict[str, Secret]) -> None:
        if not keys:
            msg = "a keyring holds at least one key"
            raise ValueError(msg)
        self._keys = dict(keys)
        self._ciphers = {key_id: Aead(_decoded(key.reveal())) for key_id, key in keys.items()}

    @classmethod
    def parse(cls, text: Secret, *, setting: str = KEYRING_SETTING) -> Self:
        """The keyring that a text describes.

        Raises:
            SettingsError: There is no entry, or one is not `key_id:key`, has a key of another length or an id that
                was there before. The message names the setting and quotes nothing of the text.
        """
        keys: dict[str, Secret] = {}
        for number, entry in enumerate(_entries(text.reveal()), start=1):
            key_id, colon, key = (part.strip() for part in entry.partition(":"))
            problem = _problem(key_id, colon, key, keys)
            if problem is not None:
                msg = f"{setting}: entry {number} {problem}"
                raise SettingsError(msg)
            keys[key_id] = Secret(key.rstrip("="))
        if not keys:
            msg = f"{setting}: the keyring is empty; `tokenkeep keys generate` makes one"
            raise SettingsError(msg)
        return cls(keys)

    @classmethod
    def generate(cls) -> Self:
        """A keyring of one new random key."""
        key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")
        return cls({f"k{secrets.token_hex(4)}": Secret(key)})

    @property
    def current(self) -> str:
        """The id of the key that new data keys are wrapped by."""
        return next(iter(self._keys))

    @property
    def key_id(self) -> str:
        """The current key's id, under the name by which a `KeyWrapper` has it."""
        return self.current

    @property
    def key_ids(self) -> tuple[str, ...]:
        """All ids, the current one first."""
        return tuple(self._keys)

    @property
    def changed_at(self) -> None:
        """A text does not say when it was written."""
        return None

    def to_text(self) -> Secret:
        """The keyring as `parse` reads it, one entry a line."""
        return Secret("".join(f"{key_id}:{key.reveal()}\n" for key_id, key in self._keys.items()))

    def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.wrap`."""
        return self._cipher(key_id).seal(data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        return self._cipher(key_id).open(wrapped, context)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def _cipher(self, key_id: str) -> Aead:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownKey(key_id)
        return cipher


def _entries(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for entry in line.partition("#")[0].split(","):
            if entry.strip():
                yield entry


def _problem(key_id: str, colon: str, key: str, known: dict[str, Secret]) -> str | None:
    if not colon or _KEY_ID.fullmatch(key_id) is None:
        return "is not key_id:key, the id being up to 32 letters, digits, dots, hyphens and underscores"
    if _KEY.fullmatch(key) is None:
        return f"does not hold a key of {KEY_BYTES} bytes in base64url"
    if key_id in known:
        return "has the id of an earlier entry"
    return None


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        # From None: the library's message may speak of the key.
        msg = "a wrapping key is not base64url"
        raise ValueError(msg) from None
