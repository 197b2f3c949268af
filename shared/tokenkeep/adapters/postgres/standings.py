"""Rows turned into the domain's values, and back."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

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
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.lease import Lease, Phase

Row = RowMapping | Mapping[str, Any]
"""A row by its columns' names: SQLAlchemy's, or the driver's."""

Kind = TypeVar("Kind", bound=StrEnum)


def by_value(kinds: type[Kind]) -> Mapping[str, Kind]:
    """The members of an enumeration by what is stored for them: a look-up costs a tenth of what calling the class does."""
    return {kind.value: kind for kind in kinds}


_ACCOUNT = (
    "id", "source_id", "environment", "provider", "auth_type", "external_id", "external_id_verified", "external_id_kind",
    "state", "disabled_reason", "disabled_detail", "disabled_at", "disabled_by", "health", "custody", "last_error_reason",
    "last_error_http_status", "last_error_at",
)  # fmt: skip
_CREDENTIAL = (
    "credential_epoch", "generation", "installed_fence", "obtained_at", "expires_at", "refresh_token_expires_at",
    "refresh_end_derived", "refreshable",
)  # fmt: skip
_LEASE = (
    "fence", "epoch", "phase", "attempt_id", "lease_until", "sent_at", "presented_generation", "next_refresh_at", "due_at",
    "not_before", "demanded_at", "consecutive_failures", "failing_since", "doubts", "doubt_since", "suspected_at",
    "event_sequence", "watched_end", "tell_at",
)  # fmt: skip

ACCOUNT_COLUMNS = ", ".join(f"a.{name}" for name in _ACCOUNT)
CREDENTIAL_COLUMNS = """c.epoch AS credential_epoch, c.generation, c.installed_fence, c.obtained_at, c.expires_at,
       c.refresh_token_expires_at, c.refresh_end_derived, c.refresh_ciphertext IS NOT NULL AS refreshable, c.key_id,
       c.wrapped_key"""
LEASE_COLUMNS = ", ".join(f"l.{name}" for name in _LEASE)
ACCOUNT_WIDTH, CREDENTIAL_WIDTH = len(_ACCOUNT), len(_CREDENTIAL)

_STATES, _HEALTH, _CUSTODY = by_value(AccountState), by_value(Health), by_value(Custody)
AUTH_TYPES, _PHASES = by_value(AuthType), by_value(Phase)


def account_from(row: Row) -> Account:
    """The account that `ACCOUNT_COLUMNS` describe."""
    return account_of([row[name] for name in _ACCOUNT])


def account_of(values: Sequence[Any]) -> Account:
    """The account whose `ACCOUNT_COLUMNS` these are, in their order."""
    (
        account_id, source_id, environment, provider, auth_type, external_id, verified, kind, state, disabled_reason,
        disabled_detail, disabled_at, disabled_by, health, custody, error_reason, error_status, error_at,
    ) = values  # fmt: skip
    disabled = error = None
    if disabled_reason is not None:
        disabled = Disabled(DisabledReason(disabled_reason), disabled_detail, disabled_at, disabled_by)
    if error_reason is not None:
        error = LastError(FailureReason(error_reason), error_status, error_at)
    return Account(
        AccountId(account_id),
        SourceId(source_id),
        environment,
        provider,
        AUTH_TYPES[auth_type],
        _STATES[state],
        _CUSTODY[custody],
        external_id,
        verified,
        kind,
        _HEALTH[health],
        disabled,
        error,
    )


def credential_from(row: Row) -> CredentialVersion:
    """The version that `CREDENTIAL_COLUMNS` describe."""
    return credential_of([row[name] for name in _CREDENTIAL])


def credential_of(values: Sequence[Any]) -> CredentialVersion:
    """The version whose `CREDENTIAL_COLUMNS` these are, in their order, without the key that comes last."""
    epoch, generation, fence, obtained_at, expires_at, refresh_end, derived, refreshable = values
    return CredentialVersion(
        epoch, generation, fence, obtained_at, expires_at, refresh_end, refreshable, derived is True
    )


def lease_from(row: RowMapping) -> Lease:
    """The lease that `LEASE_COLUMNS` describe."""
    return lease_of([row[name] for name in _LEASE])


def lease_of(values: Sequence[Any]) -> Lease:
    """The lease whose `LEASE_COLUMNS` these are, in their order, which is that of its fields."""
    fence, epoch, phase, *others = values
    return Lease(fence, epoch, _PHASES[phase], *others)


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
