"""Token sets, and the version of what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.secret import Secret

UNKNOWN_LIFETIME = timedelta(hours=1)
"""The life of a token that can be refreshed and whose life nobody tells."""


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a token endpoint gave, or a caller imported, with every field normalised.

    `refresh_token` None means that the answer named none: a refresh keeps the former one (RFC 6749, section 6).
    `expires_at` None means that the access token does not expire. `refresh_token_expires_at` is what was told, or, where it is
    `refresh_end_derived`, what follows from the usual life of such tokens for the one that is named. `refresh_endless`: it was
    told that there is no end. `external_id` is whose they are, if the token endpoint said so when they were first given; it is not
    kept with them.
    """

    access_token: Secret
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of a scheme
    refresh_token: Secret | None = None
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    refresh_token_expires_at: datetime | None = None
    refresh_end_derived: bool = False
    refresh_endless: bool = False
    external_id: ExternalId | None = None


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Credentials that nothing renews, field by field, as their owner gave them: a key, a password, a pair of OAuth 1.0a.

    `expires_at` None means that they do not expire.
    """

    fields: Mapping[str, Secret]
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CredentialVersion:
    """Which credentials are stored, and how long they last; not what they are.

    `epoch` names the grant: it grows at re-authorisation. `generation` names the refresh token within the row: it
    grows with every install. `installed_fence` is the fencing number of the attempt that installed them.
    `refresh_end_derived`: nobody told when the refresh token ends; it follows from what is usual, and proves nothing.
    """

    epoch: int
    generation: int
    installed_fence: int
    obtained_at: datetime
    expires_at: datetime | None
    refresh_token_expires_at: datetime | None
    refreshable: bool
    refresh_end_derived: bool = False

    @property
    def lifetime(self) -> timedelta | None:
        """How long the access token lives from when it was asked for; None when it does not expire."""
        return None if self.expires_at is None else self.expires_at - self.obtained_at

    @property
    def told_refresh_end(self) -> datetime | None:
        """When the refresh token ends, if somebody who must know has said so."""
        return None if self.refresh_end_derived else self.refresh_token_expires_at


Held = TokenSet | StaticCredentials
"""Credentials as they are stored."""


def is_renewed(held: Held) -> bool:
    """Whether there is something to renew the credentials with."""
    return isinstance(held, TokenSet) and held.refresh_token is not None


def first_version(
    held: Held, *, now: datetime, epoch: int = 1, generation: int = 1, fence: int = 0
) -> CredentialVersion:
    """The version of credentials that have come in from outside."""
    tokens = held if isinstance(held, TokenSet) else None
    return CredentialVersion(
        epoch=epoch,
        generation=generation,
        installed_fence=fence,
        obtained_at=now,
        expires_at=held.expires_at,
        refresh_token_expires_at=None if tokens is None else tokens.refresh_token_expires_at,
        refreshable=is_renewed(held),
        refresh_end_derived=tokens is not None and tokens.refresh_end_derived,
    )


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A data key as it is stored: wrapped, with the id of the key that wraps it."""

    key_id: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedTokens:
    """A token set as it is stored: its secrets sealed under the account's data key, for one epoch and generation."""

    access_ciphertext: bytes
    refresh_ciphertext: bytes | None
    token_type: str
    scopes: tuple[str, ...]
