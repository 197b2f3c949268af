"""HashiCorp Vault's transit secrets engine, over its HTTP API. It logs in as the credential store does.

https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import httpx

from tokenkeep.adapters.hashicorp_http import HashicorpHttp, VaultLogin, VaultRefused
from tokenkeep.adapters.key_services.key_service import within_deadline
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable

KIND: Final = "vault-transit"
_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.PRECONDITION_FAILED})
"""Besides 5xx: a rate limit, and a replica that lags behind."""


class VaultTransit:
    """A `KeyService`: a key of the transit engine, of a type that authenticates associated data (`aes256-gcm96`, the default).

    Args:
        address: Vault's address, without a path.
        mount: Where the engine is mounted.
        key: The key's name.
        namespace: A namespace of Vault Enterprise or HCP, if it is in one.
        login: How to log in.
    """

    kind = KIND

    def __init__(self, address: str, *, mount: str, key: str, namespace: str | None, login: VaultLogin) -> None:
        self._address = address
        self._mount = mount
        self._key = key
        self._namespace = namespace
        self._login = login

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        """As the protocol says. What is given back is Vault's own text, `vault:v1:…`."""
        return self._asked("encrypt", key_id, {"plaintext": _base64(key)}, "ciphertext").encode()

    def decrypt(self, encrypted: bytes, key_id: str) -> bytes:
        """As the protocol says."""
        try:
            text = encrypted.decode("ascii")
        except UnicodeDecodeError:
            raise KeyServiceError(KIND, "the entry is none of Vault's ciphertexts") from None
        answer = self._asked("decrypt", key_id, {"ciphertext": text}, "plaintext")
        try:
            return base64.b64decode(answer, validate=True)
        except binascii.Error:
            # From None: the library's message may speak of the key.
            raise KeyServiceError(KIND, "the answer is no plaintext") from None

    def _asked(self, call: str, key_id: str, given: Mapping[str, str], wanted: str) -> str:
        body = {**given, "associated_data": _base64(key_id.encode())}
        return within_deadline(KIND, lambda: asyncio.run(self._said(call, body, wanted)))

    async def _said(self, call: str, body: Mapping[str, str], wanted: str) -> str:
        http = HashicorpHttp(self._address, namespace=self._namespace, login=self._login)
        try:
            answer = await http.ask("POST", f"/v1/{self._mount}/{call}/{self._key}", body)
        except (httpx.HTTPError, TimeoutError) as error:
            raise KeyServiceUnavailable(KIND, type(error).__name__) from None
        except VaultRefused as error:
            raise _error_of(error.status) from None
        finally:
            await http.close()
        if answer.status_code != httpx.codes.OK:
            raise _error_of(answer.status_code)
        try:
            return str(answer.json()["data"][wanted])
        except (ValueError, KeyError, TypeError):
            raise KeyServiceError(KIND, f"the answer has no {wanted}") from None


def _error_of(status: int) -> KeyServiceError:
    passing = status in _PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR
    return (KeyServiceUnavailable if passing else KeyServiceError)(KIND, f"answered {status}")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
