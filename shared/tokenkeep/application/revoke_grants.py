"""Revoke grants: tell providers which tokens shall be worth nothing any more, as RFC 7009 has it or in their own ways."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, assert_never
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import SourceConfigs, TokenEndpoints
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.revocations import ClaimedHost, Departure, DueRevocation, NewRevocation, RevocationEnd
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import ConnectFailed
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.refresh_policy import spread
from tokenkeep.domain.revocation_waits import LONGEST_KEPT, is_given_up, rest_after, wait_after
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.client_authentication import Client
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.revocation import RevocationResult, RevocationVerdict, read_revocation
from tokenkeep.providers.revocation_request import revocation_request
from tokenkeep.providers.revocation_way import TokenKind

_AT_ONCE = 20
_SLACK = timedelta(seconds=10)
"""What is added to the time that a request may take, where others reckon with it."""
_REFUSED = RevocationVerdict(RevocationResult.REFUSED)
_LATER = RevocationVerdict(RevocationResult.LATER)


class RevocationRequests(Protocol):
    """The tokens that wait to be revoked. Each call is a transaction of its own."""

    async def claim(self, *, limit: int, lease: timedelta) -> ClaimedHost | None: ...

    async def claim_overdue(self, *, limit: int, kept: timedelta) -> Sequence[DueRevocation]: ...

    async def depart(self, due: DueRevocation, *, unanswered: timedelta) -> Departure: ...

    async def postpone(self, waits: Sequence[tuple[DueRevocation, timedelta, bool]]) -> None: ...

    async def end(self, ids: Sequence[UUID], entries: Sequence[AuditEntry]) -> None: ...

    async def free(self, claimed: ClaimedHost, *, timeouts: int, rest: timedelta) -> None: ...


class RevocationObserver(Protocol):
    """Sees what became of revocations. `provider` is None when the source is gone; `error` names a fault of ours."""

    def ended(self, due: DueRevocation, provider: str | None, end: RevocationEnd, error: str | None) -> None: ...

    def postponed(self, due: DueRevocation, wait: timedelta, error: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of one try: a verdict, or why it was not sent. `silent`: nothing was heard of the host in all the time there was.

    `answered`: it is known that nothing is with the provider any more.
    """

    due: DueRevocation
    source: SourceConfig | None
    outcome: RevocationVerdict | Departure
    error: str | None = None
    silent: bool = False
    answered: bool = False

    @property
    def end(self) -> RevocationEnd | None:
        """How it ends; None when it is tried again, or others see to it."""
        if isinstance(self.outcome, Departure):
            return RevocationEnd.SUPERSEDED if self.outcome is Departure.HELD else None
        match self.outcome.result:
            case RevocationResult.REVOKED:
                return RevocationEnd.REVOKED
            case RevocationResult.REFUSED:
                return RevocationEnd.REFUSED
            case RevocationResult.LATER:
                return RevocationEnd.GIVEN_UP if is_given_up(self.due.tries, self.due.age) else None
            case _:
                assert_never(self.outcome.result)

    @property
    def wait(self) -> timedelta | None:
        """How long to wait before the next try; None when there is none."""
        if isinstance(self.outcome, Departure) or self.end is not None:
            return None
        jitter = spread(self.due.id, self.due.tries)
        return wait_after(self.due.tries, retry_after=self.outcome.retry_after, jitter=jitter)


@dataclass(frozen=True, slots=True)
class RevokeGrants:
    """Works off what is due, host by host. A revocation that does not succeed is tried again, ten times or three days at most.

    Any number of them may run at once, and none of them works at a host of another's: one that keeps silent delays nobody else.
    """

    requests: RevocationRequests
    sources: SourceConfigs
    sealer: TokenSealer
    clients: SourceClients
    catalogue: Catalogue
    endpoints: TokenEndpoints
    clocks: Clocks
    observer: RevocationObserver
    deadline: timedelta
    write_ahead: timedelta

    async def __call__(self) -> int:
        """Try some of what is due at one host, once; returns how many that were."""
        claimed = await self.requests.claim(limit=_AT_ONCE, lease=self.deadline + _SLACK)
        if claimed is None:
            return await self._give_up()
        sources = await self.sources({one.wanted.source_id for one in claimed.due})
        tried = await asyncio.gather(*(self._tried(one, sources.get(one.wanted.source_id)) for one in claimed.due))
        await self._write(tried)
        silent = any(one.silent for one in tried) and not any(one.answered for one in tried)
        timeouts = claimed.timeouts + 1 if silent else 0
        await self.requests.free(claimed, timeouts=timeouts, rest=rest_after(timeouts) if silent else timedelta(0))
        return len(tried)

    async def _give_up(self) -> int:
        """End what has waited for its time behind a host that keeps silent."""
        due = await self.requests.claim_overdue(limit=_AT_ONCE, kept=LONGEST_KEPT)
        sources = await self.sources({one.wanted.source_id for one in due}) if due else {}
        await self._write([_Tried(one, sources.get(one.wanted.source_id), _LATER, "timeout") for one in due])
        return len(due)

    async def _write(self, tried: Sequence[_Tried]) -> None:
        later = [(one, wait) for one in tried if (wait := one.wait) is not None]
        over = [(one, end) for one in tried if (end := one.end) is not None]
        if later:
            await self.requests.postpone([(one.due, wait, one.answered) for one, wait in later])
        if over:
            entries = [entry for one, end in over if (entry := _entry(one, end)) is not None]
            await self.requests.end([one.due.id for one, _ in over], entries)
        for one, wait in later:
            self.observer.postponed(one.due, wait, one.error)
        for one, end in over:
            provider = None if one.source is None else one.source.provider
            self.observer.ended(one.due, provider, end, one.error)

    async def _tried(self, due: DueRevocation, source: SourceConfig | None) -> _Tried:
        if source is None:
            return _Tried(due, None, _REFUSED)
        try:
            return await self._asked(due, source)
        except ConnectFailed as failure:
            silent = failure.reason is FailureReason.TIMEOUT
            return _Tried(due, source, _LATER, failure.reason.value, silent=silent)
        except Exception as failure:  # noqa: BLE001 - a key or a property may be missing; one fault must not repeat its neighbours
            return _Tried(due, source, _LATER, type(failure).__name__)

    async def _asked(self, due: DueRevocation, source: SourceConfig) -> _Tried:
        wanted = due.wanted
        rules = effective_rules(self.catalogue.get(source.provider), source.options)
        way, tokens = rules.revocation, self._opened(wanted)
        # The way may be another one than it was when the tokens for it were sealed.
        taken = frozenset[TokenKind]() if way is None else way.tokens_of(tokens)
        if way is None or not taken:
            return _Tried(due, source, _REFUSED)
        client = Client(source.client_id or "")
        if way.needs_client:
            client = self.clients(source, rules.at_revocation, wanted.properties)
        request = revocation_request(rules, way, client=client, tokens=tokens, properties=wanted.properties)
        answer = await self._exchanged(due, request)
        if isinstance(answer, Departure):
            return _Tried(due, source, answer)
        ends_at = wanted.access_ends_at if TokenKind.ACCESS in taken else None
        verdict = read_revocation(answer, way, now=due.now, outlived=ends_at is not None and ends_at <= due.now)
        if isinstance(answer, Answer):
            return _Tried(due, source, verdict, answered=True)
        silent = answer.reason is FailureReason.TIMEOUT
        return _Tried(due, source, verdict, answer.reason.value, silent=silent, answered=not answer.maybe_sent)

    def _opened(self, wanted: NewRevocation) -> dict[TokenKind, Secret]:
        sealed = {TokenKind.REFRESH: wanted.refresh_ciphertext, TokenKind.ACCESS: wanted.access_ciphertext}
        return {
            kind: self.sealer.open_revocation(wanted.account_id, wanted.sealed_key, kind, ciphertext)
            for kind, ciphertext in sealed.items()
            if ciphertext is not None
        }

    async def _exchanged(self, due: DueRevocation, request: TokenRequest) -> Answer | NoAnswer | Departure:
        """The answer, or why the request was not sent. Nothing stands between the word that it may leave and its leaving."""
        deadline = self.clocks.loop_time() + self.deadline.total_seconds()
        async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
            send_before = self.clocks.boottime() + self.write_ahead.total_seconds()
            departure = await self.requests.depart(due, unanswered=self.deadline + _SLACK)
            if departure is not Departure.MAY_LEAVE:
                return departure
            return await connection.exchange(request, deadline=deadline, send_before=send_before)


def _entry(tried: _Tried, end: RevocationEnd) -> AuditEntry | None:
    """What the audit trail is told; nothing when it is not known any more whose trail that would be."""
    if tried.source is None:
        return None
    ours = Caller("tokenkeep", tried.source.environment, frozenset())
    return AuditEntry(ours, "account.revoke", format_id(IdKind.ACCOUNT, tried.due.wanted.account_id), end.value)
