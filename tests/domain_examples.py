"""Accounts, leases and attempts to begin an example with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tokenkeep.domain.account import Account, AccountState, AuthType, Custody
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine, Rotation, RotationKind
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import Rules, Standing
from tokenkeep.domain.verdict import Granted

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARANTINE = Quarantine(strict=timedelta(seconds=120), provider_deadline=timedelta(seconds=20))
KEPT = Rules(RefreshPolicy(), Rotation(RotationKind.NONE), QUARANTINE)
GRACE = Rules(RefreshPolicy(), Rotation(RotationKind.GRACE, timedelta(minutes=10)), QUARANTINE)
STRICT = Rules(RefreshPolicy(), Rotation(RotationKind.STRICT_REVOKE), QUARANTINE)


def an_account(**changes: Any) -> Account:
    account = Account(
        id=AccountId(UUID(int=1)),
        source_id=SourceId(UUID(int=2)),
        environment="default",
        provider="generic-oauth2",
        auth_type=AuthType.OAUTH2,
        state=AccountState.ACTIVE,
        custody=Custody.HELD,
    )
    return replace(account, **changes)


def a_standing(*, account: Account | None = None, lease: Any = None, credential: Any = None) -> Standing:
    """An active account whose token expires in 10 minutes, with its refresh token on the wire under fence 7."""
    sent = Lease(
        fence=7,
        epoch=1,
        phase=Phase.SENT,
        attempt_id=AttemptId(UUID(int=3)),
        lease_until=NOW + timedelta(minutes=2),
        sent_at=NOW,
        presented_generation=4,
        next_refresh_at=NOW - timedelta(seconds=1),
        due_at=NOW + timedelta(minutes=1),
        event_sequence=9,
    )
    stored = CredentialVersion(
        epoch=1,
        generation=4,
        installed_fence=6,
        obtained_at=NOW - timedelta(minutes=50),
        expires_at=NOW + timedelta(minutes=10),
        refresh_token_expires_at=None,
        refreshable=True,
    )
    return Standing(account or an_account(), replace(sent, **(lease or {})), replace(stored, **(credential or {})))


def an_attempt(**changes: Any) -> Attempt:
    attempt = Attempt(
        id=AttemptId(UUID(int=3)),
        account_id=AccountId(UUID(int=1)),
        epoch=1,
        fence=7,
        presented_generation=4,
        trigger=Trigger.SCHEDULE,
        correlation_id="cor_1",
        sent_at=NOW,
    )
    return replace(attempt, **changes)


def granted(**changes: Any) -> Granted:
    tokens = TokenSet(Secret("access"), refresh_token=Secret("refresh"), expires_at=NOW + HOUR)
    return Granted(replace(tokens, **changes))
