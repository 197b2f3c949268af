"""The subject of an ID token that came straight from the token endpoint (OpenID Connect Core 1.0, section 3.1.3.7)."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

_LONGEST = 16_384
_LONGEST_SUBJECT = 255


def subject_of(fields: Mapping[str, Any], *, url: str, client_id: str, issuer: str | None) -> str | None:
    """Whose the ID token of a token endpoint's answer is; None when it has none that counts.

    Its signature is not looked at: TLS has shown who speaks, which the section allows in its place, so over plain HTTP it counts
    for nothing. It must be for our client, and from the issuer where that is known.
    """
    token = fields.get("id_token")
    if not isinstance(token, str) or not url.lower().startswith("https://"):
        return None
    claims = _claims(token)
    audience = claims.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        return None
    if issuer is not None and claims.get("iss") != issuer:
        return None
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        return None
    return subject if subject.isascii() and subject.isprintable() else None


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:  # noqa: PLR2004 - header, payload, signature
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
