"""Security event tokens verified by keys that their issuers publish."""

import json
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

_LONGEST: Final = 64 * 1024
# Signatures of keys alone: a published key is no secret that anything could be sealed with.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")


class JoseEventTokens:
    """Reads such tokens; none of them raises."""

    def key_id(self, token: bytes) -> str | None:
        """Which key is said to have signed it; None: it is no such token, or names no key."""
        if len(token) > _LONGEST:
            return None
        try:
            header = jws.extract_compact(token).headers()
        except (JoseError, ValueError, RecursionError):
            return None
        found = header.get("kid")
        return found if isinstance(found, str) and header.get("alg") in _ALGORITHMS else None

    def claims(self, token: bytes, keys: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What it says, if the key that it names has signed it; else None."""
        named = self.key_id(token)
        signing = [key for key in keys.get("keys", ()) if isinstance(key, dict) and key.get("kid") == named]
        if named is None or not signing:
            return None
        try:
            key_set = KeySet.import_key_set({"keys": signing[:1]})
            payload = jws.deserialize_compact(token, key_set, algorithms=list(_ALGORITHMS)).payload
            claims = json.loads(payload)
        except (JoseError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return claims if isinstance(claims, dict) else None
