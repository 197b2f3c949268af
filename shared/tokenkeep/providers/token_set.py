"""The token set in a successful answer, every field normalised."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.lifetimes import KnownLife, access_expiry, folded, refresh_end

_ACCESS = ("access_token", "accessToken", "AccessToken", "accesstoken", "oauth_access_token")
_REFRESH = ("refresh_token", "refreshToken", "RefreshToken", "refreshtoken")
_UNNAMED = ("token", "Token", "access")
_BESIDE_TOKENS = ("expires_in", "expiresin", "expires_at", "access_expires", "refresh", "token_type", "tokentype")
_NO_TOKENS = frozenset(
    {"", "(null)", "***", "-", "0", "[redacted]", "false", "n/a", "nil", "none", "not_supported", "null", "undefined"}
)
_CONTAINERS = ("data", "body", "result", "credentials", "authed_user", "response", "token")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SCOPES = re.compile(r"[\s,]+")
_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP", "mac": "MAC"}


def has_token(fields: Mapping[str, Any], token_path: str | None) -> bool:
    """Whether the body holds an access token: a text of visible ASCII, so never empty, and no word for none.

    The pair of OAuth 1.0a counts as one (RFC 5849, section 2.3); its secret may be empty.
    """
    return _find(fields, token_path) is not None or _has_pair(fields)


def holds_a_token(fields: Mapping[str, Any], token_path: str | None) -> bool:
    """Whether the body holds an access token, or a refresh token alone."""
    return has_token(fields, token_path) or _refresh_token(fields, fields) is not None


def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None and text.lower() not in _NO_TOKENS


def _has_pair(fields: Mapping[str, Any]) -> bool:
    token, secret = fields.get("oauth_token"), fields.get("oauth_token_secret")
    return isinstance(token, str) and _TOKEN.fullmatch(token) is not None and isinstance(secret, str)


def read_token_set(
    fields: Mapping[str, Any], *, token_path: str | None, scope_separator: str, sent_at: datetime, known: KnownLife
) -> TokenSet | None:
    """The token set of a body, or None when there is no access token in it.

    A refresh token that is missing, null or empty, or a word that says so, is None: the former one is kept.
    """
    found = _find(fields, token_path)
    if found is None:
        return None
    holder, access_token = found
    told = fields if holder is fields else {**fields, **holder}
    refresh_token = _refresh_token(holder, fields)
    named = None if refresh_token is None else refresh_token.reveal()
    spelt = folded(told)
    end = refresh_end(spelt, named, sent_at=sent_at, usual=known.refresh)
    return TokenSet(
        access_token=Secret(access_token),
        token_type=_scheme(told.get("token_type", told.get("tokenType"))),
        refresh_token=refresh_token,
        scopes=_scopes(told, scope_separator),
        expires_at=access_expiry(spelt, access_token, sent_at=sent_at, known=known),
        refresh_token_expires_at=end.at,
        refresh_end_derived=end.derived,
        refresh_endless=end.endless,
    )


def _find(fields: Mapping[str, Any], token_path: str | None) -> tuple[Mapping[str, Any], str] | None:
    """The object that holds the access token, and the token."""
    usual = None if token_path is not None else fields.get(_ACCESS[0])
    if isinstance(usual, str) and _is_token(usual):  # what the search below would find first
        return fields, usual
    for holder, names in _places(fields, token_path):
        for name in names:
            token = holder.get(name)
            if isinstance(token, str) and _is_token(token.strip()):
                return holder, token.strip()
    return None


def _places(fields: Mapping[str, Any], token_path: str | None) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...]]]:
    """Where to look: the provider's own place alone, or the top and the usual wrappers."""
    if token_path is not None:
        *way, name = token_path.split(".")
        node: Any = fields
        for step in way:
            node = _opened(node.get(step)) if isinstance(node, dict) else None
        if isinstance(node, dict):
            yield node, (name,)
    yield fields, _names(fields)
    for name in _CONTAINERS:
        inner = _opened(fields.get(name))
        if isinstance(inner, dict):
            yield inner, _names(inner)


def _names(holder: Mapping[str, Any]) -> tuple[str, ...]:
    """What the access token may be called in an object. A bare `token` is one beside what only tokens have."""
    beside = (str(key).lower() for key in list(holder)[:50])
    is_token_set = any(mark in key for key in beside for mark in _BESIDE_TOKENS)
    return (*_ACCESS, *_UNNAMED) if is_token_set else _ACCESS


def _opened(node: object) -> object:
    return node[0] if isinstance(node, list) and node else node


def _refresh_token(holder: Mapping[str, Any], fields: Mapping[str, Any]) -> Secret | None:
    usual = holder.get(_REFRESH[0])
    if isinstance(usual, str) and _is_token(usual):  # what the search below would find first
        return Secret(usual)
    wrapped = (_opened(fields.get(name)) for name in _CONTAINERS)
    beside = ("refresh",) if any(name in holder for name in _UNNAMED) else ()
    for place in (holder, fields, *(inner for inner in wrapped if isinstance(inner, dict))):
        for name in (*_REFRESH, *beside):
            token = place.get(name)
            if isinstance(token, str) and _is_token(token.strip()):
                return Secret(token.strip())
    return None


def _is_text(token: str) -> bool:
    """Whether the text can be stored and sent on.

    JSON can spell halves of characters, which no encoding takes, and control characters, which neither a header nor
    PostgreSQL takes; no token or scope has them (RFC 6749, appendix A).
    """
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return token.isprintable()


def _scheme(value: object) -> str:
    """The Authorization scheme. Providers also write what kind of token it is (`user`); that means Bearer too."""
    return _SCHEMES.get(value.strip().lower(), "Bearer") if isinstance(value, str) else "Bearer"


def _scopes(told: Mapping[str, Any], separator: str) -> tuple[str, ...] | None:
    """The granted scopes; None when the answer names none, which means those of before (RFC 6749, section 5.1)."""
    for name in ("scope", "scopes"):
        value = told.get(name)
        if isinstance(value, str):
            parts = _SCOPES.split(value.replace(separator, " ") if separator.strip() else value)
        elif isinstance(value, list):
            parts = [part.strip() for part in value if isinstance(part, str)]
        else:
            continue
        scopes = tuple(dict.fromkeys(part for part in parts if part and _is_text(part)))
        if scopes:
            return scopes
    return None
