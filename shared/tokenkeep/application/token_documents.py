"""Token sets as JSON, to be sealed as a whole."""

import json
from datetime import datetime
from typing import Any

from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.secret import Secret


def document_of(tokens: TokenSet, **more: Any) -> bytes:
    """All that a token set holds, and what else belongs to it. In the clear: to be sealed and nothing else."""
    document = {
        "access_token": tokens.access_token.reveal(),
        "refresh_token": None if tokens.refresh_token is None else tokens.refresh_token.reveal(),
        "token_type": tokens.token_type,
        "scopes": tokens.scopes,
        "expires_at": _text(tokens.expires_at),
        "refresh_token_expires_at": _text(tokens.refresh_token_expires_at),
        "refresh_end_derived": tokens.refresh_end_derived,
        "refresh_endless": tokens.refresh_endless,
        **more,
    }
    return json.dumps(document).encode()


def tokens_of(plaintext: bytes) -> tuple[TokenSet, dict[str, Any]]:
    """The token set that `document_of` described, and the whole document."""
    document: dict[str, Any] = json.loads(plaintext)
    refresh, scopes = document["refresh_token"], document["scopes"]
    tokens = TokenSet(
        access_token=Secret(document["access_token"]),
        token_type=document["token_type"],
        refresh_token=None if refresh is None else Secret(refresh),
        scopes=None if scopes is None else tuple(scopes),
        expires_at=_moment(document["expires_at"]),
        refresh_token_expires_at=_moment(document["refresh_token_expires_at"]),
        # Not in documents that an earlier release sealed: there, an end was told or not known.
        refresh_end_derived=document.get("refresh_end_derived", False),
        refresh_endless=document.get("refresh_endless", False),
    )
    return tokens, document


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
