"""The storm's providers as they remember their grants: what rotates, what is forgiven, what kills."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

GRACE_S = 120.0


class Kind(StrEnum):
    """How a provider treats a refresh token that was used. One provider of each kind takes part."""

    KEEPS = "keeps"
    GRACE = "grace"
    REFUSES = "refuses"
    REVOKES = "revokes"

    @property
    def is_strict(self) -> bool:
        """Whether an answer that is lost on the wire costs the grant, whatever the client does."""
        return self in {Kind.REFUSES, Kind.REVOKES}


OPTIONS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.KEEPS: {"refresh_rotates": "no"},
    Kind.GRACE: {
        "refresh_rotates": "yes",
        "old_refresh_grace_s": int(GRACE_S),
        "old_refresh_grace_answer": "same",
        "reuse_detection": "revokes",
    },
    Kind.REFUSES: {"refresh_rotates": "yes", "reuse_detection": "refuses"},
    Kind.REVOKES: {"refresh_rotates": "yes", "reuse_detection": "revokes"},
}
"""What an operator would tell tokenkeep of each kind."""


class Result(StrEnum):
    """What the provider made of a refresh token."""

    ROTATED = "rotated"
    KEPT = "kept"
    REPEATED = "repeated"  # a replaced token, inside its grace: the same successor once more
    REUSED = "reused"
    DEAD = "dead"

    @property
    def is_refusal(self) -> bool:
        """Whether the client is told `invalid_grant`."""
        return self in {Result.REUSED, Result.DEAD}


class Death(StrEnum):
    """What ended a grant."""

    BY_ITS_USER = "by its user"
    BY_REUSE = "by reuse"


@dataclass(slots=True)
class Grant:
    """One user's grant. Refresh tokens are numbered from 1; `tokens` holds their texts in that order."""

    name: str
    kind: Kind
    tokens: list[str] = field(default_factory=list)
    rotated_at: float = 0.0
    death: Death | None = None
    granted: list[float] = field(default_factory=list)
    """When access tokens were issued."""

    @property
    def current(self) -> int:
        """The number of the refresh token that is alive."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token as its issuer knows it. Times are `time.monotonic()`."""

    grant: Grant
    issued_at: float
    ends_at: float


class Memory:
    """What all providers of a storm remember. Tokens are random, so that a leak could be found."""

    def __init__(self, lifetime_s: tuple[int, int]) -> None:
        self.grants: dict[str, Grant] = {}
        self._lifetime_s = lifetime_s
        self._refresh: dict[str, tuple[Grant, int]] = {}
        self._access: dict[str, AccessToken] = {}

    def issue(self, name: str, kind: Kind) -> dict[str, Any]:
        """A new grant; returns its credentials as `POST /v1/accounts` takes them."""
        grant = self.grants[name] = Grant(name, kind)
        self._rotate(grant)
        return self._answer(grant)

    def find(self, refresh_token: str) -> tuple[Grant, int] | None:
        """Whose token this is, and which one in its row."""
        return self._refresh.get(refresh_token)

    def present(self, grant: Grant, number: int) -> tuple[Result, dict[str, Any]]:
        """Process a presentation: what is made of it, and the body of the answer."""
        result = self._judge(grant, number)
        if result.is_refusal:
            return result, {"error": "invalid_grant"}
        if result is Result.ROTATED:
            self._rotate(grant)
        answer = self._answer(grant)
        if result is Result.KEPT:
            del answer["refresh_token"]
        return result, answer

    def end(self, grant: Grant) -> None:
        """The user takes the client off their list."""
        if grant.death is None:
            grant.death = Death.BY_ITS_USER

    def access(self, access_token: str) -> AccessToken | None:
        """What the resource knows of an access token."""
        return self._access.get(access_token)

    def works(self, access_token: str) -> bool:
        """Whether the resource takes it now."""
        known = self._access.get(access_token)
        return known is not None and known.grant.death is None and time.monotonic() < known.ends_at

    def _judge(self, grant: Grant, number: int) -> Result:
        if grant.death is not None:
            return Result.DEAD
        if grant.kind is Kind.KEEPS:
            return Result.KEPT
        if number == grant.current:
            return Result.ROTATED
        is_latest = number == grant.current - 1
        if grant.kind is Kind.GRACE and is_latest and time.monotonic() - grant.rotated_at < GRACE_S:
            return Result.REPEATED
        if grant.kind is not Kind.REFUSES:
            grant.death = Death.BY_REUSE
        return Result.REUSED

    def _rotate(self, grant: Grant) -> None:
        token = f"refresh-{secrets.token_urlsafe(24)}"
        grant.tokens.append(token)
        grant.rotated_at = time.monotonic()
        self._refresh[token] = (grant, grant.current)

    def _answer(self, grant: Grant) -> dict[str, Any]:
        now = time.monotonic()
        shortest, longest = self._lifetime_s
        lifetime = shortest + secrets.randbelow(longest - shortest + 1)
        access = f"access-{secrets.token_urlsafe(24)}"
        self._access[access] = AccessToken(grant, now, now + lifetime)
        grant.granted.append(now)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "refresh_token": grant.tokens[-1],
        }
