"""Rows turned into the domain's values, and back."""

from typing import Any

from sqlalchemy import RowMapping

from tokenkeep.domain.account import (
    Account,
    AccountState,
    AuthType,
    Custody,
    Disabled,
    DisabledReason,
    FailureReason,
    Health,
    LastError,
)
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.lease import Lease, Phase

ACCOUNT_COLUMNS = """a.id, a.source_id, a.environment, a.provider, a.auth_type, a.external_id, a.external_id_verified,
       a.external_id_kind, a.state, a.disabled_reason, a.disabled_detail, a.disabled_at, a.disabled_by, a.health, a.custody,
       a.last_error_reason, a.last_error_http_status, a.last_error_at"""
CREDENTIAL_COLUMNS = """c.epoch AS credential_epoch, c.generation, c.installed_fence, c.obtained_at, c.expires_at,
       c.refresh_token_expires_at, c.refresh_end_derived, c.refresh_ciphertext IS NOT NULL AS refreshable, c.key_id,
       c.wrapped_key"""
LEASE_COLUMNS = """l.fence, l.epoch, l.phase, l.attempt_id, l.lease_until, l.sent_at, l.presented_generation,
       l.next_refresh_at, l.due_at, l.not_before, l.demanded_at, l.consecutive_failures, l.failing_since, l.doubts,
       l.doubt_since, l.suspected_at, l.event_sequence, l.watched_end, l.tell_at"""


def account_from(row: RowMapping) -> Account:
    """The account that `ACCOUNT_COLUMNS` describe."""
    disabled = None
    if row["disabled_reason"] is not None:
        disabled = Disabled(
            DisabledReason(row["disabled_reason"]), row["disabled_detail"], row["disabled_at"], row["disabled_by"]
        )
    last_error = None
    if row["last_error_reason"] is not None:
        last_error = LastError(
            FailureReason(row["last_error_reason"]), row["last_error_http_status"], row["last_error_at"]
        )
    return Account(
        id=AccountId(row["id"]),
        source_id=SourceId(row["source_id"]),
        environment=row["environment"],
        provider=row["provider"],
        auth_type=AuthType(row["auth_type"]),
        state=AccountState(row["state"]),
        custody=Custody(row["custody"]),
        external_id=row["external_id"],
        external_id_verified=row["external_id_verified"],
        external_id_kind=row["external_id_kind"],
        health=Health(row["health"]),
        disabled=disabled,
        last_error=last_error,
    )


def credential_from(row: RowMapping) -> CredentialVersion:
    """The version that `CREDENTIAL_COLUMNS` describe."""
    return CredentialVersion(
        epoch=row["credential_epoch"],
        generation=row["generation"],
        installed_fence=row["installed_fence"],
        obtained_at=row["obtained_at"],
        expires_at=row["expires_at"],
        refresh_token_expires_at=row["refresh_token_expires_at"],
        refreshable=row["refreshable"],
        refresh_end_derived=row["refresh_end_derived"] is True,
    )


def lease_from(row: RowMapping) -> Lease:
    """The lease that `LEASE_COLUMNS` describe."""
    attempt_id = row["attempt_id"]
    return Lease(
        fence=row["fence"],
        epoch=row["epoch"],
        phase=Phase(row["phase"]),
        attempt_id=None if attempt_id is None else AttemptId(attempt_id),
        lease_until=row["lease_until"],
        sent_at=row["sent_at"],
        presented_generation=row["presented_generation"],
        next_refresh_at=row["next_refresh_at"],
        due_at=row["due_at"],
        not_before=row["not_before"],
        demanded_at=row["demanded_at"],
        consecutive_failures=row["consecutive_failures"],
        failing_since=row["failing_since"],
        doubts=row["doubts"],
        doubt_since=row["doubt_since"],
        suspected_at=row["suspected_at"],
        event_sequence=row["event_sequence"],
        watched_end=row["watched_end"],
        tell_at=row["tell_at"],
    )


def account_values(account: Account) -> dict[str, Any]:
    """What of an account changes, by column."""
    disabled, error = account.disabled, account.last_error
    return {
        "account_id": account.id,
        "state": account.state.value,
        "custody": account.custody.value,
        "health": account.health.value,
        "disabled_reason": None if disabled is None else disabled.reason.value,
        "disabled_detail": None if disabled is None else disabled.detail,
        "disabled_at": None if disabled is None else disabled.at,
        "disabled_by": None if disabled is None else disabled.by,
        "last_error_reason": None if error is None else error.reason.value,
        "last_error_http_status": None if error is None else error.http_status,
        "last_error_at": None if error is None else error.at,
    }


def lease_values(account: Account, lease: Lease) -> dict[str, Any]:
    """A lease, by column."""
    return {
        "account_id": account.id,
        "fence": lease.fence,
        "epoch": lease.epoch,
        "phase": lease.phase.value,
        "attempt_id": lease.attempt_id,
        "lease_until": lease.lease_until,
        "sent_at": lease.sent_at,
        "presented_generation": lease.presented_generation,
        "next_refresh_at": lease.next_refresh_at,
        "due_at": lease.due_at,
        "not_before": lease.not_before,
        "consecutive_failures": lease.consecutive_failures,
        "failing_since": lease.failing_since,
        "doubts": lease.doubts,
        "doubt_since": lease.doubt_since,
        "suspected_at": lease.suspected_at,
        "event_sequence": lease.event_sequence,
        "watched_end": lease.watched_end,
        "tell_at": lease.tell_at,
    }
