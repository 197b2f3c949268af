"""PKCE's verifier where nothing can be remembered between sending a user off and exchanging the code (ADR 0032)."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret

_PURPOSE: Final = b"tokenkeep.code-verifier.1"


def derived_verifier(key: Secret, source_id: SourceId, callback_uri: str) -> Secret:
    """43 characters (RFC 7636, section 4.1), the same ones each time for this source and this callback.

    Args:
        key: 32 random bytes in hexadecimal that only this installation has.
        source_id: The source whose users are sent off.
        callback_uri: Where the code comes back, character for character.
    """
    message = b"".join((_PURPOSE, source_id.bytes, callback_uri.encode()))
    mac = hmac.digest(bytes.fromhex(key.reveal()), message, sha256)
    return Secret(urlsafe_b64encode(mac).rstrip(b"=").decode())
