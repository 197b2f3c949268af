"""Give accepted events their effect: each once, in the order in which they came for each account."""

from dataclasses import dataclass
from functools import partial
from typing import assert_never

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.credential_stores import CredentialStores, Fetched, having_fetched
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.inbox import InboxEvent, InboxObserver, Outcome
from tokenkeep.application.linking import ConnectLinks, LinksOfSources
from tokenkeep.application.ports import RefreshQueue
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.request_refresh import admit_refresh
from tokenkeep.application.sealing import ACCESS, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.conflicts import Conflict
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.errors import NotFound, NotStored, SourcePaused
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.incoming_event import IncomingType, fingerprint
from tokenkeep.domain.reports import REPORTED, Follows, on_revocation_report, token_rejected
from tokenkeep.domain.standing import Settlement
from tokenkeep.domain.transitions import disable

_TOKENS = ("access_token", "oauth_token", "api_key")
"""Which fields of credentials a report may mean by the token. A password is none: it can be guessed."""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an event came to, and the refresh that it wants a worker to begin."""

    outcome: Outcome
    trigger: Trigger | None = None


@dataclass(frozen=True, slots=True)
class ApplyEvents:
    """Works off one account's events, each in one transaction with the note that it is done.

    A crash before that commits changes nothing; a hint that is lost after it is made up for by the row and the next tick.
    """

    works: Works
    toggle: ToggleAccount
    sealer: TokenSealer
    stores: CredentialStores
    queue: RefreshQueue
    links: ConnectLinks
    observer: InboxObserver

    async def __call__(self, account_id: AccountId, *, most: int) -> int:
        """How many events there were, up to `most`."""
        links = await self.links()
        # Hinted at after the last one: a worker passes by an account whose row is locked by the next event.
        wishes: dict[Trigger, str] = {}
        done = 0
        try:
            while done < most and await having_fetched(self.stores, partial(self._next, account_id, links, wishes)):
                done += 1
        finally:
            for trigger, correlation_id in wishes.items():
                await self.queue.enqueue([account_id], trigger=trigger, correlation_id=correlation_id)
        return done

    async def _next(
        self, account_id: AccountId, links: LinksOfSources, wishes: dict[Trigger, str], fetched: Fetched
    ) -> bool:
        async with self.works() as work:
            taken = await work.inbox.take(account_id)
            if taken is None:
                return False
            effect = await self._apply(work, taken, links, fetched)
            await work.inbox.close(taken, effect.outcome)
        self.observer.inbox_event_taken(taken.event.type.value, effect.outcome.value)
        if effect.trigger is not None:
            wishes.setdefault(effect.trigger, taken.correlation_id)
        return True

    async def _apply(self, work: Work, taken: InboxEvent, links: LinksOfSources, fetched: Fetched) -> _Effect:
        try:
            match taken.event.type:
                case IncomingType.UNAUTHORIZED:
                    return await self._unauthorized(work, taken, fetched)
                case IncomingType.REVOKED:
                    return await self._revoked(work, taken, links)
                case IncomingType.REFRESH_REQUESTED:
                    return await self._refresh(work, taken)
                case IncomingType.DISABLE_REQUESTED:
                    return await self._toggle(work, taken, on=False)
                case IncomingType.ENABLE_REQUESTED:
                    return await self._toggle(work, taken, on=True)
                case _:
                    assert_never(taken.event.type)
        except (Conflict, NotFound, SourcePaused) as refusal:
            # All of them are raised before anything is written.
            action = _ACTIONS[taken.event.type]
            await work.audit(AuditEntry(taken.sender, action, _target(taken), _code(refusal)))
            return _Effect(Outcome.REFUSED)

    async def _unauthorized(self, work: Work, taken: InboxEvent, fetched: Fetched) -> _Effect:
        """A report about the present token has it replaced: once, for the demand is for anything newer than that token."""
        full = await self._locked(work, taken)
        reported = taken.event.token_fingerprint
        if full.account.state is not AccountState.ACTIVE or not self._is_present(full, fetched, reported):
            return _Effect(Outcome.MOOT)
        is_news = await work.inbox.mark_rejected(full.account.id)
        if is_news:
            await self._write(work, taken, full, token_rejected(full.standing))
        if full.lease.next_refresh_at is None:
            return _Effect(Outcome.APPLIED if is_news else Outcome.MOOT)
        await work.demand(full.account.id, full.standing.credential.obtained_at)
        return _Effect(Outcome.APPLIED, Trigger.REPORT) if is_news else _Effect(Outcome.MOOT)

    async def _revoked(self, work: Work, taken: InboxEvent, links: LinksOfSources) -> _Effect:
        full = await self._locked(work, taken)
        match on_revocation_report(full.standing, reported_at=taken.received_at):
            case Follows.NOTHING:
                return _Effect(Outcome.MOOT)
            case Follows.ASKING:
                await work.audit(AuditEntry(taken.sender, _ACTIONS[taken.event.type], _target(taken)))
                await work.demand(full.account.id, taken.received_at)
                return _Effect(Outcome.APPLIED, Trigger.REPORT)
            case Follows.DISABLING:
                reason, by = DisabledReason.UNINSTALLED, taken.sender.name
                decided = disable(full.standing, reason, by=by, now=full.now, detail=REPORTED)
                assert decided is not None  # noqa: S101 - the account is active
                source = await work.sources.get(full.account.source_id, full.account.environment)
                await self._write(work, taken, full, decided, links.of(source))
                return _Effect(Outcome.APPLIED)
            case never:
                assert_never(never)

    async def _refresh(self, work: Work, taken: InboxEvent) -> _Effect:
        """What was obtained since the request came meets it."""
        full = await self._locked(work, taken)
        await admit_refresh(work, taken.sender, full.account.id)
        await work.demand(full.account.id, taken.received_at)
        return _Effect(Outcome.APPLIED, Trigger.DEMAND)

    async def _toggle(self, work: Work, taken: InboxEvent, *, on: bool) -> _Effect:
        await self.toggle(work, taken.sender, taken.event.account_id, on=on, correlation_id=taken.correlation_id)
        return _Effect(Outcome.APPLIED)

    async def _locked(self, work: Work, taken: InboxEvent) -> FullAccount:
        full = await work.full_accounts.lock(taken.event.account_id, taken.sender.environment)
        if full is None:
            raise NotFound("account")
        return full

    def _is_present(self, full: FullAccount, fetched: Fetched, reported: str | None) -> bool:
        """Whether the fingerprint is that of the token that is stored."""
        stored = full.stored
        if stored is None:
            return False
        owner, key, version = full.account.id, stored.sealed_key, stored.version
        try:
            sealed = fetched.column(owner, key, ACCESS, stored.access_ciphertext, version)
        except NotStored:  # nobody gets that token any more
            return False
        fields = self.sealer.open_fields(owner, key, sealed, version)
        return reported in {fingerprint(fields[name]) for name in _TOKENS if name in fields}

    async def _write(
        self, work: Work, taken: InboxEvent, full: FullAccount, decided: Settlement, links: LinkMaker | None = None
    ) -> None:
        settlement, events = number_events(decided, now=full.now, correlation_id=taken.correlation_id, links=links)
        write = SettlementWrite(
            before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
        )
        await work.ledger.write([write])
        await work.audit(AuditEntry(taken.sender, _ACTIONS[taken.event.type], _target(taken)))


_ACTIONS = {
    IncomingType.UNAUTHORIZED: "account.report_unauthorized",
    IncomingType.REVOKED: "account.report_revoked",
    IncomingType.REFRESH_REQUESTED: "account.refresh",
    IncomingType.DISABLE_REQUESTED: "account.disable",
    IncomingType.ENABLE_REQUESTED: "account.enable",
}
"""What the effects are named in the audit trail: the API's own calls, where there is one."""


def _target(taken: InboxEvent) -> str:
    return format_id(IdKind.ACCOUNT, taken.event.account_id)


def _code(refusal: Conflict | NotFound | SourcePaused) -> str:
    match refusal:
        case Conflict(code=code):
            return code
        case NotFound():
            return "not_found"
        case SourcePaused():
            return "source_paused"
        case _:
            assert_never(refusal)
