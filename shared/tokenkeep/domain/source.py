"""A source: one provider, configured in one environment with the developer's own client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.ids import AccountId, SourceId

BY_OPERATOR: Final = "by_operator"
MASS_REVOCATION: Final = "mass_revocation"
ROLLBACK: Final = "rollback"
"""The reasons of a pause that only an operator ends. All others are client faults, by the names of `FailureReason`."""


class SourceState(StrEnum):
    """Whether the source's accounts are being refreshed."""

    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is shown; its client secret is write-only.

    `options` are the developer's own settings, by the names of the contract (RFC 8414 where that has one); what they
    leave out, the provider's catalogue entry supplies. `secret_version` counts changes of the client: of its id, its secret, its
    options.

    `proving`: nothing has shown yet that the client works as it is configured now, so one account goes first, alone.
    `probe_account_id` is that account, or the one that may go while the source is paused; `probe_at` is when the next one is
    picked, and `probes` counts the picks. `rollback_accepted_at`: an operator took it on himself that the database went back
    in time.
    """

    id: SourceId
    environment: str
    provider: str
    name: str
    auth_type: AuthType
    client_id: str | None
    scopes: tuple[str, ...]
    options: Mapping[str, Any]
    state: SourceState
    paused_reason: str | None
    secret_version: int
    created_at: datetime
    updated_at: datetime
    paused_at: datetime | None = None
    proving: bool = False
    probe_account_id: AccountId | None = None
    probe_at: datetime | None = None
    probes: int = 0
    rollback_accepted_at: datetime | None = None
    revocations_confirmed_at: datetime | None = None
    has_hook_secret: bool = False

    @property
    def admits_all(self) -> bool:
        """Whether every account of the source may be refreshed, and not the picked one alone."""
        return self.state is SourceState.ACTIVE and not self.proving
