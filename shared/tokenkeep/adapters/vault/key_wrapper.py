"""The seam between the vault and what keeps the wrapping keys: a keyring now, a key service later."""

from typing import Protocol


class KeyWrapper(Protocol):
    """Wraps data keys by named wrapping keys that never leave it."""

    @property
    def key_id(self) -> str:
        """The wrapping key that new data keys are wrapped by."""

    def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """The data key, wrapped by that key and bound to the context.

        Raises:
            UnknownKey: There is no such wrapping key.
        """

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key.

        Raises:
            UnknownKey: There is no such wrapping key.
            VaultError: It was wrapped by another key or for another context, or was altered.
        """
