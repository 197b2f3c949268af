"""Whether a notice was signed by who shares a secret with us. Pure: the time is an argument."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from tokenkeep.domain.secret import Secret
from tokenkeep.providers.hook_rules import HookSignature, SignatureEncoding, TimestampUnit

_DIGEST_BYTES: Final = 32
_MOST_PARTS: Final = 10
_TIMESTAMP = re.compile(r"[0-9]{1,16}")
_BRACES = re.compile(r"\{(method|url|body|timestamp)\}")
_MILLISECONDS: Final = 1_000
_NOBODYS: Final = Secret("nobody's")


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A call of a provider's. `url` is the address as the provider knows it; a header that came twice is not among `headers`."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a header claims: signatures, any of which may be the right one, and when they were made."""

    signatures: tuple[bytes, ...]
    timestamp: str | None


def signing_secret(
    signature: HookSignature, request: HookRequest, secrets: Sequence[Secret], *, now: datetime
) -> Secret | None:
    """The secret that the request is signed with; None if it is with none of these, or too old, or ahead of its time.

    Every secret and every signature is compared, in constant time each. Without a secret the work is done all the same, so that
    how long it takes does not tell what there is.
    """
    claimed = _claimed(signature, request)
    content = _signed(signature, request, claimed.timestamp or "")
    found: Secret | None = None
    for secret in secrets or (_NOBODYS,):
        expected = hmac.new(secret.reveal().encode(errors="surrogatepass"), content, sha256).digest()
        matches = [hmac.compare_digest(expected, given) for given in claimed.signatures]
        if any(matches):
            found = secret
    if not secrets or not _is_timely(signature, claimed.timestamp, now):
        return None
    return found


def challenge_hmac(secret: Secret, value: str) -> str:
    """A challenge's text under the secret, in hexadecimal."""
    return hmac.new(secret.reveal().encode(errors="surrogatepass"), value.encode(), sha256).hexdigest()


def _claimed(signature: HookSignature, request: HookRequest) -> _Claimed:
    """The header, read by the parts of its template: `t={timestamp},v1={signature}` has two."""
    header = request.headers.get(signature.header, "")
    timestamp = request.headers.get(signature.timestamp_header) if signature.timestamp_header else None
    signatures: list[bytes] = []
    for name, value in _parts(signature.value, header):
        if name == "timestamp":
            timestamp = value if timestamp is None else timestamp
        elif (decoded := _decoded(signature.encoding, value)) is not None:
            signatures.append(decoded)
    return _Claimed(tuple(signatures), timestamp)


def _parts(template: str, header: str) -> Iterator[tuple[str, str]]:
    wanted = []
    for part in template.split(","):
        prefix, _, rest = part.partition("{")
        wanted.append((prefix, rest.removesuffix("}")))
    for item in header.split(",")[:_MOST_PARTS]:
        stripped = item.strip()
        for prefix, name in wanted:
            if stripped.startswith(prefix):
                yield name, stripped.removeprefix(prefix)
                break


def _decoded(encoding: SignatureEncoding, text: str) -> bytes | None:
    try:
        digest = bytes.fromhex(text) if encoding is SignatureEncoding.HEX else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return digest if len(digest) == _DIGEST_BYTES else None


def _signed(signature: HookSignature, request: HookRequest, timestamp: str) -> bytes:
    values = {
        "method": request.method.encode(),
        "url": request.url.encode(),
        "body": request.body,
        "timestamp": timestamp.encode(errors="replace"),
    }
    pieces = _BRACES.split(signature.signed)
    return b"".join(values[piece] if index % 2 else piece.encode() for index, piece in enumerate(pieces))


def _is_timely(signature: HookSignature, timestamp: str | None, now: datetime) -> bool:
    if signature.tolerance_s is None:
        return True
    if timestamp is None or not _TIMESTAMP.fullmatch(timestamp):
        return False
    per_second = _MILLISECONDS if signature.timestamp_unit is TimestampUnit.MILLISECONDS else 1
    age_s = now.timestamp() - int(timestamp) / per_second
    return abs(age_s) <= timedelta(seconds=signature.tolerance_s).total_seconds()
