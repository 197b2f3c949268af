"""The values that decisions about an account are made of: how it stands, by what rules, and what is to be written."""

from dataclasses import dataclass, replace
from datetime import timedelta

from tokenkeep.domain.account import Account, FailureReason
from tokenkeep.domain.attempt import Outcome, Resolution
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.events import Happening
from tokenkeep.domain.ids import AttemptId
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine, Rotation


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as the database holds it under a row lock."""

    account: Account
    lease: Lease
    credential: CredentialVersion


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decision goes by, besides the facts.

    `confirm_revocation` above zero: the provider is known for spurious refusals, so one is believed when it is repeated
    after so long. `idle_life`: a refresh token that is not used for so long is dead.
    """

    policy: RefreshPolicy
    rotation: Rotation
    quarantine: Quarantine
    confirm_revocation: timedelta = timedelta(0)
    idle_life: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A token set that was received earlier and not installed: perhaps it is the living one."""

    attempt_id: AttemptId
    tokens: TokenSet


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What bears on a settlement from outside of the account.

    `revocations_held`: so many of the source's accounts are called revoked that nobody is believed. `client_changed`: the
    source has another client secret by now than the one that the attempt used. `on_trial`: the source is blamed for its client
    already, or proves a changed one. `presentations` counts how often the token left
    under the attempt: all but the last were not answered. `same_token`: the answer gave back the refresh token that was
    presented, so no new life has begun.
    """

    revocations_held: bool = False
    client_changed: bool = False
    on_trial: bool = False
    orphan: Orphan | None = None
    presentations: int = 1
    same_token: bool = False

    @property
    def unanswered(self) -> int:
        """How many presentations of the attempt were not answered, besides the one that the verdict speaks of."""
        return max(self.presentations - 1, 0)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be written, in one transaction.

    `install`: the token set becomes the account's credentials. `orphan`: it does not (a younger one is there), but it is
    kept in the receipt journal. `tried`: the orphan that is installed now. `stale`: the writer was fenced off; its word
    changed nothing. `held`: the provider's word that the grant is dead was not believed. `resolution`: how a doubt ended.
    """

    standing: Standing
    outcome: Outcome
    reason: FailureReason | None = None
    http_status: int | None = None
    error_code: str | None = None
    install: TokenSet | None = None
    orphan: TokenSet | None = None
    tried: AttemptId | None = None
    stale: bool = False
    held: bool = False
    resolution: Resolution | None = None
    happenings: tuple[Happening, ...] = ()

    def with_event_sequence(self, sequence: int) -> "Settlement":
        """The settlement with an account that has told this many events."""
        standing = self.standing
        if standing.lease.event_sequence == sequence:
            return self
        lease = replace(standing.lease, event_sequence=sequence)
        return replace(self, standing=Standing(standing.account, lease, standing.credential))
