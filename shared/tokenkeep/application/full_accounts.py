"""An account with everything that is stored for it, as the few use-cases read it that touch all of it at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tokenkeep.domain.account import Account
from tokenkeep.domain.credential import CredentialVersion, SealedKey
from tokenkeep.domain.handover import Release
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.standing import Standing


@dataclass(frozen=True, slots=True)
class StoredCredentials:
    """The credentials of an account, still sealed."""

    version: CredentialVersion
    sealed_key: SealedKey
    access_ciphertext: bytes
    refresh_ciphertext: bytes | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FullAccount:
    """An account under its row lock.

    `stored` is None while it is pending, and after its credentials were erased. `came_with` is the fingerprint of the refresh
    token that it came with, and None if it came with none.
    """

    account: Account
    lease: Lease
    stored: StoredCredentials | None
    release: Release | None
    properties: Mapping[str, Any]
    now: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    came_with: bytes | None = None

    @property
    def standing(self) -> Standing:
        """How it stands; without credentials, with a version that says of none that they could be used."""
        nothing = CredentialVersion(self.lease.epoch, 1, 0, self.now, None, None, refreshable=False)
        return Standing(self.account, self.lease, nothing if self.stored is None else self.stored.version)
