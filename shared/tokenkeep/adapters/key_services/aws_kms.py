"""AWS KMS, over boto3 (the extra `aws`). Credentials, proxies and endpoints are found as boto3 finds them.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html and API_Decrypt.html
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tokenkeep.adapters.key_services.key_service import CALL_DEADLINE_S, CONTEXT_NAME, within_deadline
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable, SettingsError

KIND: Final = "aws-kms"
_REGION: Final = 3
_SERVER_FAULT: Final = 500
_PASSING: Final = frozenset(
    {"ThrottlingException", "LimitExceededException", "KMSInternalException", "DependencyTimeoutException"}
    | {"KeyUnavailableException", "RequestTimeout", "RequestLimitExceeded", "ServiceUnavailable", "InternalFailure"}
)
"""Errors that the reference calls temporary, whatever status they come with."""


class AwsKms:
    """A `KeyService`: a symmetric key of AWS KMS, named by its ARN. The encryption context is the key's id in the keyring."""

    kind = KIND

    def __init__(self, arn: str) -> None:
        """Opens nothing yet.

        Raises:
            SettingsError: boto3 is not installed.
        """
        try:
            import boto3  # noqa: F401, PLC0415 - an extra: said here, not at the first call
        except ImportError:
            msg = "TOKENKEEP_KEYRING_KMS: aws-kms needs boto3: pip install 'tokenkeep[aws]'"
            raise SettingsError(msg) from None
        self._arn = arn

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        """As the protocol says."""
        answer = self._call(lambda client: client.encrypt(Plaintext=key, **self._named(key_id)))
        return bytes(answer["CiphertextBlob"])

    def decrypt(self, encrypted: bytes, key_id: str) -> bytes:
        """As the protocol says. The key is named: KMS then refuses what another key has encrypted."""
        answer = self._call(lambda client: client.decrypt(CiphertextBlob=encrypted, **self._named(key_id)))
        return bytes(answer["Plaintext"])

    def _named(self, key_id: str) -> dict[str, Any]:
        return {"KeyId": self._arn, "EncryptionContext": {CONTEXT_NAME: key_id}}

    def _call(self, say: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
        return within_deadline(KIND, lambda: self._said(say))

    def _said(self, say: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
        import boto3  # noqa: PLC0415 - as above
        from botocore.config import Config  # noqa: PLC0415 - as above
        from botocore.exceptions import (  # noqa: PLC0415 - as above
            BotoCoreError,
            ClientError,
            ConnectionError,  # noqa: A004 - botocore's own
            CredentialRetrievalError,
            HTTPClientError,
            MetadataRetrievalError,
        )

        away = (ConnectionError, HTTPClientError, CredentialRetrievalError, MetadataRetrievalError)

        # Tried again by whoever reads the keyring, within its own deadline.
        config = Config(
            connect_timeout=CALL_DEADLINE_S / 2, read_timeout=CALL_DEADLINE_S, retries={"total_max_attempts": 1}
        )
        try:
            # A session of its own: the default one is not safe to use from several threads.
            client = boto3.session.Session().client("kms", region_name=self._arn.split(":")[_REGION], config=config)
            return say(client)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in _PASSING or status >= _SERVER_FAULT:
                raise KeyServiceUnavailable(KIND, code) from None
            raise KeyServiceError(KIND, f"refused with {code}") from None
        except away as error:
            raise KeyServiceUnavailable(KIND, type(error).__name__) from None
        except BotoCoreError as error:  # no credentials, no such region, a profile that is not there
            raise KeyServiceError(KIND, type(error).__name__) from None
