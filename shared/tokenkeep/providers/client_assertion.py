"""What a client's assertion says (RFC 7523, section 3; OpenID Connect Core 1.0, section 9), before it is signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules

_BY_SECRET: Final = ("HS256", "HS384", "HS512")
_BY_KEY: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
SIGNING_ALGORITHMS: Final = _BY_SECRET + _BY_KEY
"""What an assertion can be signed with (RFC 7518, section 3.1; RFC 8037; RFC 9864)."""

_LIFE: Final = timedelta(minutes=2)
"""Longer than it takes to connect, to journal the intent and to send, with a minute for clocks that differ."""


@dataclass(frozen=True, slots=True)
class UnsignedAssertion:
    """What is to be signed. `claims` are told as they are. `algorithm` None: the usual one of the key. `key_id` None: what the key says of itself."""

    claims: Mapping[str, str | int]
    algorithm: str | None
    key_id: str | None


def unsigned_assertion(
    rules: OAuth2Rules, client_id: str, *, audience: str, jti: str, now: datetime
) -> UnsignedAssertion:
    """The assertion by which a client of these rules proves itself to `audience`.

    Raises:
        InvalidInput: The algorithm is not one of the method's; the field is `options.token_endpoint_auth_signing_alg`.
    """
    wanted = rules.assertion
    by_secret = rules.client_auth is ClientAuth.SECRET_JWT
    algorithm = wanted.algorithm or (_BY_SECRET[0] if by_secret else None)
    if algorithm is not None and algorithm not in (_BY_SECRET if by_secret else _BY_KEY):
        raise InvalidInput(
            "options.token_endpoint_auth_signing_alg", f"{rules.client_auth.value} does not sign with {algorithm}"
        )
    issued_at = int(now.timestamp())
    claims: dict[str, str | int] = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": jti,
        "iat": issued_at,
        "exp": issued_at + int(_LIFE.total_seconds()),
    }
    return UnsignedAssertion(claims, algorithm, wanted.key_id)
