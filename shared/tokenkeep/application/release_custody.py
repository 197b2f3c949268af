"""Release: hand the refresh token back to its owner, and erase it here once he has it (custody protocol, section 6)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.credential_stores import CredentialStores, Fetched, having_fetched
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.sealing import ACCESS, REFRESH, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.vend_token import Waiters
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.account import Custody
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountPending, CredentialsChanged, NotHeld, NotReleased
from tokenkeep.domain.errors import NotFound, RefreshUnanswered
from tokenkeep.domain.handover import FETCHABLE_FOR, Release, Unanswered, hand_back, refuse_handover
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import Catalogue

_IN_FLIGHT_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class ReleasedCredentials:
    """What the owner gets. `in_doubt`: the refresh token was presented, and the answer was never had."""

    refresh_token: Secret
    access_token: Secret
    expires_at: datetime | None
    scopes: tuple[str, ...]
    confirm_before: datetime
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class ReleaseCustody:
    """Hands credentials back. Waits for a refresh in flight, for its answer may hold another refresh token.

    However many ask at once: the account changes once, and all of them get the same answer, until its receipt is confirmed.
    """

    works: Works
    waiters: Waiters
    sealer: TokenSealer
    stores: CredentialStores
    clocks: Clocks
    catalogue: Catalogue
    longest_wait: timedelta = timedelta(seconds=30)
    poll: timedelta = timedelta(milliseconds=200)

    async def __call__(self, caller: Caller, account_id: AccountId, *, correlation_id: str) -> ReleasedCredentials:
        """The credentials, which are their owner's from now on.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, NotHeld: There is nothing to hand back.
            AccountDisabled, ReauthorizationRequired: What there is, is worth nothing.
            CredentialsErased: They were handed back, and are gone.
            RefreshUnanswered: What became of the refresh token is not known within the wait.
            StoreUnavailable, NotStored: They lie in a credential store that can't be had, or has them no more.
        """
        deadline = self.clocks.loop_time() + self.longest_wait.total_seconds()
        while True:
            outcome, now = await having_fetched(
                self.stores, lambda fetched: self._once(fetched, caller, account_id, correlation_id)
            )
            if isinstance(outcome, ReleasedCredentials):
                return outcome
            remaining = deadline - self.clocks.loop_time()
            if remaining <= 0:
                wait_s = _IN_FLIGHT_RETRY_S if outcome.in_flight else (outcome.until - now).total_seconds()
                raise RefreshUnanswered(retry_after=wait_s)
            await self.waiters.wait(account_id, min(remaining, self.poll.total_seconds()))

    async def _once(
        self, fetched: Fetched, caller: Caller, account_id: AccountId, correlation_id: str
    ) -> tuple[ReleasedCredentials | Unanswered, datetime]:
        async with self.works() as work:
            return await self._try(work, fetched, caller, account_id, correlation_id)

    async def _try(
        self, work: Work, fetched: Fetched, caller: Caller, account_id: AccountId, correlation_id: str
    ) -> tuple[ReleasedCredentials | Unanswered, datetime]:
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        refusal = refuse_handover(full.account, full.release)
        if refusal is not None:
            raise refusal
        if self.catalogue.get(full.account.provider).grant.is_machines:
            raise NotHeld  # what renews it never was anybody's refresh token
        release, lease = full.release, full.lease
        if full.account.custody is not Custody.RELEASED or release is None:
            changed = await self._hand_back(work, caller, full, correlation_id)
            if isinstance(changed, Unanswered):
                return changed, full.now
            release, lease = changed
        # Opened before the transaction ends: what can't be opened is not handed back either.
        opened = self._opened(full, fetched, release, in_doubt=lease.doubts > 0)
        if full.stored is not None:
            await work.releases.handed_out(account_id, full.stored.version.generation)
        await work.audit(AuditEntry(caller, "account.release", format_id(IdKind.ACCOUNT, account_id)))
        return opened, full.now

    async def _hand_back(
        self, work: Work, caller: Caller, full: FullAccount, correlation_id: str
    ) -> tuple[Release, Lease] | Unanswered:
        decided = hand_back(full.standing, by=caller.name, now=full.now)
        if isinstance(decided, Unanswered):
            return decided
        settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id)
        await work.ledger.write(
            [
                SettlementWrite(
                    before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
                )
            ]
        )
        if full.lease.phase is Phase.SENT and full.lease.attempt_id is not None:
            await work.ledger.close_attempts([(full.account.id, full.lease.attempt_id)])
        lease = settlement.standing.lease
        generation = settlement.standing.credential.generation
        release = Release(full.now, full.now + FETCHABLE_FOR, None, in_doubt=lease.doubts > 0, generation=generation)
        await work.releases.add(full.account.id, release)
        return release, lease

    def _opened(self, full: FullAccount, fetched: Fetched, release: Release, *, in_doubt: bool) -> ReleasedCredentials:
        stored = full.stored
        if stored is None or stored.refresh_ciphertext is None:
            raise NotHeld
        owner, key, version = full.account.id, stored.sealed_key, stored.version
        refresh = fetched.column(owner, key, REFRESH, stored.refresh_ciphertext, version)
        access = fetched.column(owner, key, ACCESS, stored.access_ciphertext, version)
        return ReleasedCredentials(
            refresh_token=self.sealer.open_refresh(owner, key, refresh, version),
            access_token=self.sealer.open_access(owner, key, access, version),
            expires_at=version.expires_at,
            scopes=stored.scopes,
            confirm_before=release.confirm_before,
            in_doubt=in_doubt,
        )


@dataclass(frozen=True, slots=True)
class ConfirmRelease:
    """The owner has what was handed back: nothing of it is kept here."""

    async def __call__(self, work: Work, caller: Caller, account_id: AccountId) -> datetime:
        """When the credentials were erased; asked again, the same moment.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, NotReleased: Its credentials were not handed back.
            CredentialsChanged: A late answer has brought newer ones than the owner was given.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        if full.release is None:
            raise AccountPending if full.stored is None else NotReleased
        if full.stored is not None and full.stored.version.generation > full.release.generation:
            raise CredentialsChanged
        erased_at = full.release.erased_at or await work.releases.erase(account_id)
        await work.audit(AuditEntry(caller, "account.release_confirm", format_id(IdKind.ACCOUNT, account_id)))
        return erased_at
