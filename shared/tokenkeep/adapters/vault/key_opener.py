"""Keys of the keyring that a key service has encrypted: each is decrypted once by a process, and then kept in its memory."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tokenkeep.adapters.key_services.key_service import KeyService
from tokenkeep.adapters.vault.keyring import KeyEntry, decoded, encoded
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable, SettingsError
from tokenkeep.domain.secret import Secret

START_DEADLINE_S: Final = 30.0
"""How long a process that starts asks a key service that can't be had, before it gives up and is started anew."""

_PAUSE_S: Final = 1.0
_Known = tuple[str, str | None, bytes]
_Result = TypeVar("_Result")


class KeyOpener:
    """Opens entries by the services, and remembers them: what was opened once opens while its service is away."""

    def __init__(self, services: Sequence[KeyService] = ()) -> None:
        self._services = {service.kind: service for service in services}
        self._opened: dict[_Known, Secret] = {}

    def __call__(self, entry: KeyEntry) -> Secret:
        """The key of this entry, in base64url.

        Raises:
            SettingsError: No service of that kind is set.
            KeyServiceError: The service does not open it.
        """
        known = _known(entry)
        if known not in self._opened:
            service = self._services.get(entry.service or "")
            if service is None:
                raise SettingsError(
                    f"TOKENKEEP_KEYRING_KMS: entry {entry.number} of the keyring is encrypted by {entry.service}, which it does not name"
                )
            self._opened[known] = encoded(service.decrypt(decoded(entry.material), entry.key_id))
        return self._opened[known]

    def has_opened(self, entries: Sequence[KeyEntry]) -> bool:
        """Whether all of these can be had without asking anybody."""
        return all(entry.service is None or _known(entry) in self._opened for entry in entries)


def _known(entry: KeyEntry) -> _Known:
    return entry.key_id, entry.service, hashlib.sha256(entry.material.reveal().encode()).digest()


def patiently(
    read: Callable[[], _Result],
    *,
    deadline_s: float = START_DEADLINE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> _Result:
    """What is read, tried again while a key service can't be had.

    Raises:
        SettingsError: It could not be had within the deadline, or refuses.
    """
    began = clock()
    while True:  # each round takes a second at least, and there is a deadline
        try:
            return read()
        except KeyServiceUnavailable as error:
            if clock() - began + _PAUSE_S > deadline_s:
                raise SettingsError(f"TOKENKEEP_KEYRING_KMS: {error}; tried for {deadline_s:g} s") from None
            sleep(_PAUSE_S)
        except KeyServiceError as error:
            raise SettingsError(f"TOKENKEEP_KEYRING_KMS: {error}") from None
