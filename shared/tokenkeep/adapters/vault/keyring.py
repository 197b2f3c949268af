"""The keyring: the wrapping keys by name, the first of them current.

Its text is one `key_id:key` a line, the key being 32 bytes in base64url; or `key_id:service:encrypted`, the key as a key
service (`aws-kms`, `gcp-kms`, `vault-transit`) has encrypted it, in base64url too. Commas separate entries as well, so that
a keyring fits into an environment variable; `#` begins a comment. To rotate, put a new entry first and keep the old ones
until no row names them (docs/how-to/rotate-keys.md).

Entries are told by their number in messages, never by their text: someone may have swapped id and key.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from tokenkeep.adapters.vault.aead import KEY_BYTES, Aead
from tokenkeep.domain.errors import SettingsError, UnknownKey
from tokenkeep.domain.secret import Secret

KEYRING_SETTING: Final = "TOKENKEEP_KEYRING"

# Shorter than any key, so that a key in the id's place is never taken, nor shown, for an id.
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_KEY = re.compile(r"[A-Za-z0-9_-]{43}=?")
_ENCRYPTED = re.compile(r"([a-z][a-z0-9-]{0,31}):((?:[A-Za-z0-9_-]{4}){0,2048}[A-Za-z0-9_-]{2,4})={0,2}")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """An entry as it stands in the text: `service` is the key service that has encrypted it, None for a key in the clear."""

    number: int
    key_id: str
    service: str | None
    material: Secret = field(repr=False)


OpenKey = Callable[[KeyEntry], Secret]
"""Gives the key, in base64url, of an entry that a key service has encrypted. Raises what the service raises, or `SettingsError`."""


class Keyring:
    """Wrapping keys, held in memory. A `KeyWrapper`. Its repr shows ids only."""

    __slots__ = ("_ciphers", "_keys")

    def __init__(self, keys: dict[str, Secret]) -> None:
        if not keys:
            msg = "a keyring holds at least one key"
            raise ValueError(msg)
        self._keys = dict(keys)
        self._ciphers = {key_id: Aead(decoded(key)) for key_id, key in keys.items()}

    @classmethod
    def parse(cls, text: Secret, *, setting: str = KEYRING_SETTING, open_key: OpenKey | None = None) -> Self:
        """The keyring that a text describes.

        Args:
            text: The text.
            setting: What to call it in an error.
            open_key: Opens what a key service has encrypted; without it such an entry is an error.

        Raises:
            SettingsError: There is no entry, or one is not `key_id:key`, has a key of another length or an id that
                was there before. The message names the setting and quotes nothing of the text.
            KeyServiceError: A key service does not open an entry.
        """
        keys: dict[str, Secret] = {}
        for entry in read_entries(text, setting=setting):
            if entry.service is None:
                keys[entry.key_id] = entry.material
                continue
            if open_key is None:
                msg = f"{setting}: entry {entry.number} is encrypted by {entry.service}; set TOKENKEEP_KEYRING_KMS"
                raise SettingsError(msg)
            key = open_key(entry)
            if _KEY.fullmatch(key.reveal()) is None:
                msg = f"{setting}: entry {entry.number} does not hold a key of {KEY_BYTES} bytes"
                raise SettingsError(msg)
            keys[entry.key_id] = key
        return cls(keys)

    @classmethod
    def generate(cls) -> Self:
        """A keyring of one new random key."""
        return cls({new_key_id(): new_key()})

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


def new_key_id() -> str:
    """An id that no other key has."""
    return f"k{secrets.token_hex(4)}"


def new_key() -> Secret:
    """A new random key, in base64url."""
    return encoded(secrets.token_bytes(KEY_BYTES))


class Encrypts(Protocol):
    """What encrypts a key at rest: a key service."""

    @property
    def kind(self) -> str:
        """Its name in entries."""

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        """The key, encrypted and bound to its id."""


def new_entry(service: Encrypts | None = None) -> tuple[Keyring, Secret]:
    """A keyring of one new random key, and its entry: encrypted by this service, or in the clear without one.

    Raises:
        KeyServiceError: The service does not encrypt it.
    """
    key_id, key = new_key_id(), new_key()
    ring = Keyring({key_id: key})
    if service is None:
        return ring, Secret(f"{key_id}:{key.reveal()}")
    encrypted = encoded(service.encrypt(decoded(key), key_id))
    return ring, Secret(f"{key_id}:{service.kind}:{encrypted.reveal()}")


def encoded(content: bytes) -> Secret:
    """In base64url, without padding."""
    return Secret(base64.urlsafe_b64encode(content).decode().rstrip("="))


def decoded(material: Secret) -> bytes:
    """What base64url says, padded or not. Raises ValueError, which quotes nothing."""
    text = material.reveal().rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        # From None: the library's message may speak of the key.
        msg = "a key is not base64url"
        raise ValueError(msg) from None


def read_entries(text: Secret, *, setting: str = KEYRING_SETTING) -> Sequence[KeyEntry]:
    """The entries of a keyring's text, none of them opened, the current one first. Raises `SettingsError` as `Keyring.parse` does."""
    found: dict[str, KeyEntry] = {}
    for number, entry in enumerate(_entries(text.reveal()), start=1):
        key_id, colon, rest = (part.strip() for part in entry.partition(":"))
        problem = _problem(key_id, colon, rest, found)
        if problem is not None:
            msg = f"{setting}: entry {number} {problem}"
            raise SettingsError(msg)
        encrypted = _ENCRYPTED.fullmatch(rest)
        service, material = (None, rest.rstrip("=")) if encrypted is None else (encrypted[1], encrypted[2])
        found[key_id] = KeyEntry(number, key_id, service, Secret(material))
    if not found:
        msg = f"{setting}: the keyring is empty; `tokenkeep keys generate` makes one"
        raise SettingsError(msg)
    return tuple(found.values())


def _entries(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for entry in line.partition("#")[0].split(","):
            if entry.strip():
                yield entry


def _problem(key_id: str, colon: str, key: str, known: dict[str, KeyEntry]) -> str | None:
    if not colon or _KEY_ID.fullmatch(key_id) is None:
        return "is not key_id:key, the id being up to 32 letters, digits, dots, hyphens and underscores"
    if _KEY.fullmatch(key) is None and _ENCRYPTED.fullmatch(key) is None:
        return f"does not hold a key of {KEY_BYTES} bytes in base64url"
    if key_id in known:
        return "has the id of an earlier entry"
    return None
