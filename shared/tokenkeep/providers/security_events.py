"""What a proven security event token says (RFC 8417): events of accounts (OpenID RISC) and of single tokens (OAuth event types)."""

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256, sha512
from itertools import islice
from typing import Any, Final

from tokenkeep.domain.secret import Secret
from tokenkeep.providers.external_ids import NoId, read_external_id
from tokenkeep.providers.hook_notices import MOST_NOTICES, Illegible, NamedAccount, Notice, TokenMark, happened_at
from tokenkeep.providers.hook_rules import HookEvent, HookMeaning, ProviderHooks

_PREFIX_CHARACTERS: Final = 16
_SHA512_BYTES: Final = 64
_TOKEN: Final = "oauth_token"  # noqa: S105 - a type of subjects
_USERS: Final = frozenset({"iss-sub", "iss_sub", "id_token_claims", "id-token-claims"})


def is_for(claims: Mapping[str, Any], *, issuer: str, client_id: str) -> bool:
    """Whether the token is this issuer's, for this client, and of this kind. It has no end: it tells of what has been.

    Issuers sign ID tokens with the same keys; only `events` tells the kinds apart (RFC 8417, section 4).
    """
    if not isinstance(claims.get("events"), dict):
        return False
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    return _is_same(claims.get("iss"), issuer) and client_id in named


def read_security_events(hooks: ProviderHooks, claims: Mapping[str, Any]) -> Iterator[Notice | Illegible]:
    """The token's events, as notices. One that can't be read stops no other."""
    events = claims.get("events")
    if not isinstance(events, dict):
        yield Illegible.ILLEGIBLE
        return
    for kind, said in islice(events.items(), MOST_NOTICES):
        yield _notice(hooks, claims, kind, said)


def token_marks(token: Secret) -> tuple[TokenMark, TokenMark]:
    """By what a refresh token is found again when it is told of: the mark of its double hash, and that of its first characters.

    Neither shows anything of it: the one is a hash of what is random, the other of a part of that.
    """
    text = token.reveal().encode(errors="surrogatepass")
    return _mark("hash", sha512(sha512(text).digest()).digest()), _mark("prefix", text[:_PREFIX_CHARACTERS])


def _notice(hooks: ProviderHooks, claims: Mapping[str, Any], kind: str, said: Any) -> Notice | Illegible:
    event = hooks.events.get(kind) or HookEvent(kind, HookMeaning.NOTHING)
    accounts: tuple[NamedAccount, ...] = ()
    tokens: tuple[TokenMark, ...] = ()
    if event.means is not HookMeaning.NOTHING:
        subject = said.get("subject") if isinstance(said, dict) else None
        accounts, tokens = _meant(subject, claims) if isinstance(subject, dict) else ((), ())
        if not accounts and not tokens:
            return Illegible.ILLEGIBLE
    told = _moment(claims.get("toe", claims.get("iat")))
    digest = sha256(f"{claims.get('iss')}\0{claims.get('jti')}\0{kind}".encode(errors="surrogatepass")).digest()
    return Notice(event.type, event.means, accounts, told, digest, tokens)


def _meant(
    subject: Mapping[str, Any], claims: Mapping[str, Any]
) -> tuple[tuple[NamedAccount, ...], tuple[TokenMark, ...]]:
    kind = subject.get("subject_type", subject.get("format"))
    if kind == _TOKEN:
        return (), _told_token(subject)
    sub = read_external_id(subject, "sub", {})
    if (
        not isinstance(kind, str)
        or kind not in _USERS
        or isinstance(sub, NoId)
        or not _is_same(subject.get("iss"), claims.get("iss"))
    ):
        return (), ()
    return (NamedAccount(sub),), ()


def _moment(told: object) -> datetime | None:
    """A NumericDate (RFC 7519, section 2), which may have a fraction."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    if isinstance(told, float) and not math.isfinite(told):
        return None
    return happened_at(str(int(told)))


def _told_token(subject: Mapping[str, Any]) -> tuple[TokenMark, ...]:
    """Of refresh tokens alone: an access token's end is none of the grant's."""
    told = subject.get("token")
    if subject.get("token_type") != "refresh_token" or not isinstance(told, str):
        return ()
    match subject.get("token_identifier_alg"):
        case "prefix":
            text = told.encode(errors="surrogatepass")
            return (_mark("prefix", text),) if len(text) == _PREFIX_CHARACTERS else ()
        case "hash_base64_sha512_sha512":
            digest = _unpadded(told)
            return (_mark("hash", digest),) if digest is not None and len(digest) == _SHA512_BYTES else ()
        case _:
            return ()


def _unpadded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/").rstrip("=") + "==", validate=True)
    except (ValueError, binascii.Error):
        return None


def _mark(kind: str, content: bytes) -> TokenMark:
    return TokenMark(sha256(kind.encode() + b"\0" + content).digest())


def _is_same(told: object, issuer: object) -> bool:
    """Google writes its issuer with a stroke at the end here and without one there."""
    if not isinstance(told, str) or not isinstance(issuer, str):
        return False
    return told.rstrip("/") == issuer.rstrip("/")
