"""An account that is ready to be stored: checked, scheduled, sealed. Nothing of it asks the world any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tokenkeep.domain.account import Account
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.lease import Lease


@dataclass(frozen=True, slots=True)
class GrantClaim:
    """The refresh token that an account came with, by its SHA-256, and what tells the client that it was given to.

    Without a `client` (the source has no client id) it is claimed for the source alone. By the marks a provider that tells of
    single tokens is understood; where it tells of none, there are none.
    """

    fingerprint: bytes
    client: bytes | None
    token_mark: bytes | None = None
    prefix_mark: bytes | None = None


@dataclass(frozen=True, slots=True)
class PreparedCredentials:
    """Credentials as they are stored. `claim` is on the refresh token that they came with.

    By `fingerprints`, those of all their tokens, a grant is known again that was given up before.
    """

    version: CredentialVersion
    key: SealedKey
    sealed: SealedTokens
    claim: GrantClaim | None
    fingerprints: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class PreparedAccount:
    """An account with all that belongs to it, and the events that tell of it."""

    account: Account
    lease: Lease
    credentials: PreparedCredentials | None
    metadata: Mapping[str, str]
    properties: Mapping[str, Any]
    events: tuple[Event, ...]

    @property
    def obtained_at(self) -> datetime | None:
        """When its credentials were obtained."""
        return None if self.credentials is None else self.credentials.version.obtained_at

    @property
    def identity(self) -> str | None:
        """Its external id, if the provider told it: that is the source's only account with it."""
        return self.account.external_id if self.account.external_id_verified else None

    @property
    def claim(self) -> GrantClaim | None:
        """That on its refresh token: this is the client's only account with it."""
        return None if self.credentials is None else self.credentials.claim


@dataclass(frozen=True, slots=True)
class Stored:
    """The account is stored."""


@dataclass(frozen=True, slots=True)
class Existing:
    """It is not: the source has this one already, or its client has the same refresh token at another one.

    The account, unless it is of another environment.
    """

    account_id: AccountId | None


@dataclass(frozen=True, slots=True)
class Unstorable:
    """It is not: the database refuses this one, for itself."""


@dataclass(frozen=True, slots=True)
class BeingRevoked:
    """It is not: the provider is told just now to revoke this grant, or its user's, which is over after `wait` at the latest."""

    wait: timedelta


Storing = Stored | Existing | BeingRevoked
StoringEach = Storing | Unstorable
