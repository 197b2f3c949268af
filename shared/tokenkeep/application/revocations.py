"""The values that travel along the road of a revocation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId


class RevocationAsked(StrEnum):
    """What was done about a grant when its account was given up.

    `not_needed`: there is nothing that may be alive and is ours to revoke, or another account lives by it. `not_possible`: the provider has no way for it that
    is known. `failed`: the tokens could not be opened.
    """

    REQUESTED = "requested"
    NOT_NEEDED = "not_needed"
    NOT_POSSIBLE = "not_possible"
    FAILED = "failed"


class RevocationEnd(StrEnum):
    """How a request for a revocation ends. `superseded`: an account lives by the grant, or by another one of its user's."""

    REVOKED = "revoked"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"


class Departure(StrEnum):
    """Whether a request may leave for its provider.

    `held`: an account lives by the grant, or by its user's; `gone`: it was taken back meanwhile, or another process has it.
    """

    MAY_LEAVE = "may_leave"
    HELD = "held"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class NewRevocation:
    """Tokens by which a provider is to be told to revoke a grant, sealed under their account's data key.

    Only what the provider's way takes is held. By a `fingerprint` (SHA-256, of each token of the grant) or the `external_id`,
    which the provider has told, it is known whether the same grant, or user, comes back meanwhile: then nothing is revoked.
    `access_ends_at` is when the access token's time is over, where the grant may live on without it. `host` is where the
    request will go, None where that can't be told yet.
    """

    account_id: AccountId
    source_id: SourceId
    sealed_key: SealedKey
    refresh_ciphertext: bytes | None
    access_ciphertext: bytes | None
    fingerprint: bytes
    access_fingerprint: bytes | None
    properties: Mapping[str, Any]
    external_id: str | None = None
    access_ends_at: datetime | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class DueRevocation:
    """A request for a revocation, claimed for one try at `now`. `tries` counts this one; `age` since it was asked for."""

    id: UUID
    wanted: NewRevocation
    tries: int
    age: timedelta
    now: datetime


@dataclass(frozen=True, slots=True)
class ClaimedHost:
    """A host that is this process's for one round, with requests that go there. `timeouts`: how often on end it kept silent."""

    host: str
    timeouts: int
    due: tuple[DueRevocation, ...]
