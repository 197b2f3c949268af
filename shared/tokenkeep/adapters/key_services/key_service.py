"""The seam: what a service that keeps a key for us must be able to do, and a deadline that it can't outstay."""

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from tokenkeep.domain.errors import KeyServiceUnavailable

CALL_DEADLINE_S: Final = 10.0
"""How long one call may take, from the look-up of a name and a login to the last byte of the answer."""

CONTEXT_NAME: Final = "tokenkeep:key-id"
"""Under which name services that want one have what an encrypted key is bound to: its id in the keyring."""

_Result = TypeVar("_Result")


class KeyService(Protocol):
    """Encrypts the keyring's keys by a key that never leaves it. Calls block, and may come from any thread.

    What is encrypted is bound to the key's id in the keyring, so no entry opens under another's name.
    """

    @property
    def kind(self) -> str:
        """Its name in entries of the keyring, such as `aws-kms`."""

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        """The wrapping key, encrypted.

        Raises:
            KeyServiceUnavailable: The service can't be had now.
            KeyServiceError: It refuses.
        """

    def decrypt(self, encrypted: bytes, key_id: str) -> bytes:
        """The wrapping key. Raises as `encrypt` does."""


def within_deadline(kind: str, call: Callable[[], _Result], *, deadline_s: float = CALL_DEADLINE_S) -> _Result:
    """What the call gives, or raises. A call that takes too long is left behind on its thread, which nobody waits for.

    The clients' own timeouts count from one byte to the next, and leave out how they find their credentials.

    Raises:
        KeyServiceUnavailable: It took longer than that.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = call()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            outcome["error"] = error

    thread = threading.Thread(target=run, name=f"{kind} call", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if not outcome:
        raise KeyServiceUnavailable(kind, f"no answer within {deadline_s:g} s")
    if "error" in outcome:
        raise outcome["error"]
    result: _Result = outcome["result"]
    return result
