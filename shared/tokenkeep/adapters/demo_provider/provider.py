"""The provider as one object: the ASGI app, and the methods of its admin side."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette

from tokenkeep.adapters.demo_provider.admin import admin_routes
from tokenkeep.adapters.demo_provider.authorization import Authorization
from tokenkeep.adapters.demo_provider.endpoints import Endpoints, Tally
from tokenkeep.adapters.demo_provider.faults import Fault, FaultPlan
from tokenkeep.adapters.demo_provider.ledger import Clock, Grant, Ledger, RevokedBecause
from tokenkeep.adapters.demo_provider.options import ProviderOptions
from tokenkeep.adapters.demo_provider.presentations import Outcome, Presentation, PresentationJournal, fingerprint
from tokenkeep.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Counters:
    """How often what happened. `resource_*` are calls of `/api/me`; `token_requests` are all calls of `/token`."""

    grants_active: int
    grants_revoked: int
    token_requests: int
    presentations: int
    refreshes: int
    reuses: int
    resource_granted: int
    resource_refused: int


class DemoProvider:
    """An OAuth 2 provider. `app` is the ASGI application; serve it with `ProviderServer`, which can drop connections."""

    def __init__(self, options: ProviderOptions | None = None, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self.options = options or ProviderOptions()
        self._ledger = Ledger(self.options, clock)
        self._journal = PresentationJournal(clock)
        self._faults = FaultPlan()
        self._authorization = Authorization(self.options, self._ledger)
        self._endpoints = Endpoints(self._authorization, self._ledger, self._journal, self._faults)
        self.app = Starlette(routes=[*self._endpoints.routes(), *admin_routes(self)])

    def grants(self) -> tuple[Grant, ...]:
        """All grants, oldest first, the dead ones too."""
        return tuple(self._ledger.grants.values())

    def active_grant(self, user: str) -> Grant | None:
        """The user's latest grant that is alive."""
        mine = (grant for grant in reversed(self.grants()) if grant.user == user and not grant.is_revoked)
        return next(mine, None)

    def revoke_grant(self, grant_id: str) -> Grant:
        """End a grant, as a user would by taking the client off their list.

        Raises:
            KeyError: There is no such grant.
        """
        grant = self._ledger.grants[grant_id]
        self._ledger.revoke(grant, RevokedBecause.ADMIN)
        return grant

    def counters(self) -> Counters:
        """How often what happened so far."""
        revoked = sum(grant.is_revoked for grant in self.grants())
        outcomes = Counter(presentation.outcome for presentation in self._journal.all)
        tally = self._endpoints.tally
        return Counters(
            grants_active=len(self.grants()) - revoked,
            grants_revoked=revoked,
            token_requests=tally[Tally.TOKEN_REQUEST],
            presentations=len(self._journal.all),
            refreshes=sum(grant.refreshes for grant in self.grants()),
            reuses=outcomes[Outcome.REUSED],
            resource_granted=tally[Tally.RESOURCE_GRANTED],
            resource_refused=tally[Tally.RESOURCE_REFUSED],
        )

    def presentations(self, refresh_token: str | None = None) -> tuple[Presentation, ...]:
        """Every presentation of a refresh token so far, or of this one, in order."""
        wanted = None if refresh_token is None else fingerprint(refresh_token)
        return tuple(entry for entry in self._journal.all if wanted in {None, entry.fingerprint})

    def faults(self) -> tuple[Fault, ...]:
        """What is still to go wrong."""
        return self._faults.faults

    def inject(self, fault: Fault) -> None:
        """Let something go wrong."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def rotate_client_secret(self, secret: Secret) -> None:
        """Give the client a new secret; the old one is refused at once."""
        self._authorization.client.secret = secret
