"""Google Cloud KMS as its API's documentation says of Encrypt and Decrypt: real AES-GCM, and checksums of all that passes."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud.kms_v1 import (
    DecryptRequest,
    DecryptResponse,
    EncryptRequest,
    EncryptResponse,
    KeyManagementServiceClient,
)
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

NAME = "projects/p/locations/global/keyRings/r/cryptoKeys/tokenkeep"
SERVICE = "google.cloud.kms.v1.KeyManagementService"


@dataclass
class KmsServer:
    """Keys by their resource names. `spoils` alters what it answers on its way, `away` answers UNAVAILABLE."""

    keys: dict[str, bytes] = field(default_factory=lambda: {NAME: AESGCM.generate_key(256)})
    spoils: bool = False
    away: bool = False
    asked: int = 0

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(2))
        handlers = {
            "Encrypt": _handler(self._encrypt, EncryptRequest, EncryptResponse),
            "Decrypt": _handler(self._decrypt, DecryptRequest, DecryptResponse),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()

    def connect(self) -> KeyManagementServiceClient:
        """Google's own client, over a connection without TLS and login."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self._port}")
        return KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))

    def _encrypt(self, request: Any, context: Any) -> Any:
        key = self._key_of(request, context)
        _check(context, request.plaintext, request.plaintext_crc32c)
        _check(context, request.additional_authenticated_data, request.additional_authenticated_data_crc32c)
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(key).encrypt(nonce, request.plaintext, request.additional_authenticated_data)
        return EncryptResponse(
            name=f"{request.name}/cryptoKeyVersions/1",
            ciphertext=self._on_its_way(sealed),
            ciphertext_crc32c=google_crc32c.value(sealed),
            verified_plaintext_crc32c=request.plaintext_crc32c is not None,
            verified_additional_authenticated_data_crc32c=request.additional_authenticated_data_crc32c is not None,
        )

    def _decrypt(self, request: Any, context: Any) -> Any:
        key = self._key_of(request, context)
        _check(context, request.ciphertext, request.ciphertext_crc32c)
        _check(context, request.additional_authenticated_data, request.additional_authenticated_data_crc32c)
        sealed = request.ciphertext
        try:
            plain = AESGCM(key).decrypt(sealed[:12], sealed[12:], request.additional_authenticated_data)
        except InvalidTag:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: the ciphertext is invalid.")
        return DecryptResponse(plaintext=self._on_its_way(plain), plaintext_crc32c=google_crc32c.value(plain))

    def _key_of(self, request: Any, context: Any) -> bytes:
        self.asked += 1
        if self.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        key = self.keys.get(request.name)
        if key is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKey {request.name} not found.")
        assert key is not None
        return key

    def _on_its_way(self, content: bytes) -> bytes:
        return content[:-1] + bytes([content[-1] ^ 1]) if self.spoils else content


def _check(context: Any, content: bytes, checksum: int | None) -> None:
    if checksum is not None and checksum != google_crc32c.value(content):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the checksum does not fit")


def _handler(method: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.deserialize, response_serializer=response.serialize
    )
