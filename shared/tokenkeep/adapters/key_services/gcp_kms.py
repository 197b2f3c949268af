"""Google Cloud KMS, over Google's own client (the extra `gcp`). Credentials are found as it finds them.

What is sent and what comes back is held to its CRC32C, as https://cloud.google.com/kms/docs/data-integrity-guidelines asks: a
key that was altered on its way would wrap data keys that nobody can open any more.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tokenkeep.adapters.key_services.key_service import CALL_DEADLINE_S, within_deadline
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable, SettingsError

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceClient

KIND: Final = "gcp-kms"


class GcpKms:
    """A `KeyService`: a symmetric key of Cloud KMS, by its resource name. The additional authenticated data is the key's id in the keyring.

    Args:
        name: `projects/…/locations/…/keyRings/…/cryptoKeys/…`, without a version: the key's primary version encrypts.
        connect: Makes the client; Google's own, with its default credentials, if none is given.

    Raises:
        SettingsError: Google's client is not installed.
    """

    kind = KIND

    def __init__(self, name: str, connect: "Callable[[], KeyManagementServiceClient] | None" = None) -> None:
        try:
            import google_crc32c  # noqa: F401, PLC0415 - an extra: said here, not at the first call
            from google.cloud import kms_v1  # noqa: PLC0415 - as above
        except ImportError:
            msg = "TOKENKEEP_KEYRING_KMS: gcp-kms needs Google's client: pip install 'tokenkeep[gcp]'"
            raise SettingsError(msg) from None
        self._name = name
        self._connect = connect or kms_v1.KeyManagementServiceClient

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        """As the protocol says."""
        bound = key_id.encode()
        request = {
            "name": self._name,
            "plaintext": key,
            "plaintext_crc32c": _crc32c(key),
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": _crc32c(bound),
        }
        answer = self._call("encrypt", request)
        if not answer.verified_plaintext_crc32c or not answer.verified_additional_authenticated_data_crc32c:
            raise KeyServiceUnavailable(KIND, "what was sent arrived altered")
        ciphertext = bytes(answer.ciphertext)
        if answer.ciphertext_crc32c != _crc32c(ciphertext):
            raise KeyServiceUnavailable(KIND, "the answer arrived altered")
        if not answer.name.startswith(f"{self._name}/cryptoKeyVersions/"):
            raise KeyServiceError(KIND, "another key than the one that was named has encrypted")
        return ciphertext

    def decrypt(self, encrypted: bytes, key_id: str) -> bytes:
        """As the protocol says."""
        bound = key_id.encode()
        request = {
            "name": self._name,
            "ciphertext": encrypted,
            "ciphertext_crc32c": _crc32c(encrypted),
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": _crc32c(bound),
        }
        answer = self._call("decrypt", request)
        key = bytes(answer.plaintext)
        if answer.plaintext_crc32c != _crc32c(key):
            raise KeyServiceUnavailable(KIND, "the answer arrived altered")
        return key

    def _call(self, method: str, request: dict[str, Any]) -> Any:
        return within_deadline(KIND, lambda: self._said(method, request))

    def _said(self, method: str, request: dict[str, Any]) -> Any:
        from google.api_core import exceptions as refusals  # noqa: PLC0415 - as above
        from google.auth import exceptions as logins  # noqa: PLC0415 - as above

        passing = (
            refusals.ServerError,  # 5xx: UNAVAILABLE, INTERNAL, DEADLINE_EXCEEDED
            refusals.TooManyRequests,
            refusals.RetryError,
            logins.TransportError,
        )
        try:
            with self._connect() as client:
                # No retries of the client's own: whoever reads the keyring tries again within its own deadline.
                return getattr(client, method)(request=request, timeout=CALL_DEADLINE_S, retry=None)
        except passing as error:
            raise KeyServiceUnavailable(KIND, type(error).__name__) from None
        except (refusals.GoogleAPICallError, logins.GoogleAuthError) as error:
            raise KeyServiceError(KIND, f"refused with {type(error).__name__}") from None


def _crc32c(content: bytes) -> int:
    import google_crc32c  # noqa: PLC0415 - as above

    return int(google_crc32c.value(content))
