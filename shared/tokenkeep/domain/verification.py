"""Credentials that their provider was asked about: what it said, whose they are, and what follows for the account."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from tokenkeep.domain.account import (
    Account,
    AccountState,
    FailureReason,
    Health,
    LastError,
    LastVerification,
    VerificationResult,
)
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.errors import ExternalIdMismatch
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.external_id import ExternalId, Likeness, likeness
from tokenkeep.domain.standing import Settlement, Standing


class UnknownReason(StrEnum):
    """Why nothing is known. None of them says anything about the credentials."""

    NETWORK_ERROR = "network_error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    PROVIDER_5XX = "provider_5xx"
    PROVIDER_4XX = "provider_4xx"
    MALFORMED_RESPONSE = "malformed_response"
    INSUFFICIENT_RESPONSE = "insufficient_response"
    """It answered, and not with what such an answer holds."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """The credentials may well work, but not for this request."""
    CLIENT_REFUSED = "client_refused"
    """The provider minds the source's client or address, not the account."""
    REJECTED_UNPROVEN = "rejected_unproven"
    """It refused a request of which nobody has shown that it is the right one."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a reason
    MISSING_PROPERTY = "missing_property"
    """The request's address needs a property that the account lacks."""
    NOT_SUPPORTED = "not_supported"
    """The provider has no such request that is known."""
    CREDENTIALS_CHANGED = "credentials_changed"
    """Others were stored while the provider was asked about these."""
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The provider takes the credentials. `external_id` is whose they are, where its answer tells that; `kind` which id that is.

    `other` is what the same answer tells besides: the id of the kind that is known of the account, where that is another.
    """

    external_id: str | None = None
    kind: str | None = None
    other: ExternalId | None = None

    @property
    def told(self) -> tuple[ExternalId, ...]:
        """Whose the credentials are, first what counts."""
        first = None if self.external_id is None else ExternalId(self.external_id, self.kind)
        return tuple(it for it in (first, self.other) if it is not None)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider said that it does not take the credentials. `code` holds no secret."""

    code: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing was learnt."""

    reason: UnknownReason


Finding = Confirmed | Rejected | Unknown


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of credentials before they are stored.

    `finding` None: nobody asked. `told` is whose they are as the provider has told, by its token endpoint or by the answer to
    the verifying request, first what counts; so that is verified whatever the finding is.
    """

    finding: Finding | None = None
    told: tuple[ExternalId, ...] = ()

    @property
    def external_id(self) -> ExternalId | None:
        """What counts."""
        return self.told[0] if self.told else None


UNCHECKED = Checked()


def recorded(finding: Finding, *, at: datetime, code: str | None = None) -> LastVerification:
    """The finding as it is kept. `code` is what the caller knows besides."""
    match finding:
        case Confirmed():
            return LastVerification(VerificationResult.CONFIRMED, at, code)
        case Rejected(code=said):
            return LastVerification(VerificationResult.REJECTED, at, said)
        case Unknown(reason=reason):
            return LastVerification(VerificationResult.UNKNOWN, at, reason.value)
        case _:
            assert_never(finding)


def settled_external_id(given: str | None, told: ExternalId | None) -> tuple[ExternalId | None, bool]:
    """A new account's external id, and whether it is verified.

    Raises:
        ExternalIdMismatch: The provider tells another one than was given.
    """
    if told is None:
        return (None if given is None else ExternalId(given)), False
    if given is not None and given != told.value:
        raise ExternalIdMismatch
    return told, True


def adopted(account: Account, told: Sequence[ExternalId], *, own: bool) -> ExternalId | None:
    """The verified external id that the account is to have from now on; None: what it has, it keeps.

    An id that a caller gave is never overwritten. An id of another kind takes the place of the verified one only where the
    provider has told both together, or where it is told of the account's `own` credentials: those that are known to be its
    owner's, or that its developer has put in the place of those.
    """
    if not told:
        return None
    first, owner = told[0], account.owner
    if owner is None:
        return first if account.external_id in {None, first.value} else None
    if owner == first and account.external_id_verified:
        return None
    match likeness(owner, told):
        case Likeness.SAME:
            return first
        case Likeness.ANOTHER:
            return None
        case Likeness.UNTOLD:
            return first if own else None


def is_another(account: Account, told: Sequence[ExternalId]) -> bool:
    """Whether the provider tells another id than the account has, by whichever way it came to it."""
    if account.external_id is None:
        return False
    return likeness(account.owner or ExternalId(account.external_id), told) is Likeness.ANOTHER


def settle_finding(standing: Standing, finding: Finding, *, now: datetime) -> Settlement | None:
    """What a finding changes of an account, besides being shown; None when nothing.

    A rejected access token is not a dead grant, so it never disables, and says nothing at all where a refresh may bring a
    better one. Where none can, the account is failing, which is told once, until the provider takes its credentials again.
    """
    account = standing.account
    if standing.credential.refreshable or account.state is not AccountState.ACTIVE:
        return None
    match finding:
        case Rejected(http_status=status):
            error = LastError(FailureReason.PROVIDER_4XX, status, now)
            turned = account.health is Health.HEALTHY
            failing = replace(standing, account=account.evolve(health=Health.FAILING, last_error=error))
            told = (Happening(EventType.FAILING, error.reason.value),) if turned else ()
            return Settlement(failing, Outcome.FAILED, reason=error.reason, http_status=status, happenings=told)
        case Confirmed() if account.health is Health.FAILING:
            sound = replace(standing, account=account.evolve(health=Health.HEALTHY, last_error=None))
            return Settlement(sound, Outcome.OK, happenings=(Happening(EventType.RECOVERED),))
        case Confirmed() | Unknown():
            return None
        case _:
            assert_never(finding)
