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
from tokenkeep.application.revocations import DueRevocation, NewRevocation, RevocationEnd
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import ConnectFailed
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.refresh_policy import spread
from tokenkeep.domain.revocation_waits import is_given_up, wait_after
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.client_authentication import Client
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.revocation import RevocationResult, RevocationVerdict, read_revocation
from tokenkeep.providers.revocation_request import revocation_request
from tokenkeep.providers.revocation_way import TokenKind

_AT_ONCE = 20
_REFUSED = RevocationVerdict(RevocationResult.REFUSED)
_LATER = RevocationVerdict(RevocationResult.LATER)


class RevocationRequests(Protocol):
    """The tokens that wait to be revoked. Each call is a transaction of its own."""

    async def claim(self, *, limit: int) -> Sequence[DueRevocation]: ...

    async def postpone(self, waits: Sequence[tuple[UUID, timedelta]]) -> None: ...

    async def end(self, ids: Sequence[UUID], entries: Sequence[AuditEntry]) -> None: ...


class RevocationObserver(Protocol):
    """Sees what became of revocations. `provider` is None when the source is gone; `error` names a fault of ours."""

    def ended(self, due: DueRevocation, provider: str | None, end: RevocationEnd, error: str | None) -> None: ...

    def postponed(self, due: DueRevocation, wait: timedelta, error: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Tried:
    due: DueRevocation
    source: SourceConfig | None
    verdict: RevocationVerdict
    error: str | None

    @property
    def end(self) -> RevocationEnd | None:
        """How it ends; None when it is tried again."""
        match self.verdict.result:
            case RevocationResult.REVOKED:
                return RevocationEnd.REVOKED
            case RevocationResult.REFUSED:
                return RevocationEnd.REFUSED
            case RevocationResult.LATER:
                return RevocationEnd.GIVEN_UP if is_given_up(self.due.tries, self.due.age) else None
            case _:
                assert_never(self.verdict.result)

    @property
    def wait(self) -> timedelta:
        """How long to wait before the next try."""
        jitter = spread(self.due.id, self.due.tries)
        return wait_after(self.due.tries, retry_after=self.verdict.retry_after, jitter=jitter)


@dataclass(frozen=True, slots=True)
class RevokeGrants:
    """Works off what is due. A revocation that does not succeed is tried again later, ten times or three days at most."""

    requests: RevocationRequests
    sources: SourceConfigs
    sealer: TokenSealer
    clients: SourceClients
    catalogue: Catalogue
    endpoints: TokenEndpoints
    clocks: Clocks
    observer: RevocationObserver
    deadline: timedelta

    async def __call__(self) -> int:
        """Try what is due, once; returns how many that were."""
        due = await self.requests.claim(limit=_AT_ONCE)
        if not due:
            return 0
        sources = await self.sources({one.wanted.source_id for one in due})
        tried = await asyncio.gather(*(self._tried(one, sources.get(one.wanted.source_id)) for one in due))
        later = [one for one in tried if one.end is None]
        over = [(one, end) for one in tried if (end := one.end) is not None]
        if later:
            await self.requests.postpone([(one.due.id, one.wait) for one in later])
        if over:
            entries = [entry for one, end in over if (entry := _entry(one, end)) is not None]
            await self.requests.end([one.due.id for one, _ in over], entries)
        for one in later:
            self.observer.postponed(one.due, one.wait, one.error)
        for one, end in over:
            provider = None if one.source is None else one.source.provider
            self.observer.ended(one.due, provider, end, one.error)
        return len(due)

    async def _tried(self, due: DueRevocation, source: SourceConfig | None) -> _Tried:
        if source is None:
            return _Tried(due, None, _REFUSED, None)
        try:
            return _Tried(due, source, await self._asked(due, source), None)
        except ConnectFailed as failure:
            return _Tried(due, source, _LATER, failure.reason.value)
        except Exception as failure:  # noqa: BLE001 - a key or a property may be missing; one fault must not repeat its neighbours
            return _Tried(due, source, _LATER, type(failure).__name__)

    async def _asked(self, due: DueRevocation, source: SourceConfig) -> RevocationVerdict:
        wanted = due.wanted
        rules = effective_rules(self.catalogue.get(source.provider), source.options)
        way, tokens = rules.revocation, self._opened(wanted)
        # The way may be another one than it was when the tokens for it were sealed.
        taken = frozenset[TokenKind]() if way is None else way.tokens_of(tokens)
        if way is None or not taken:
            return _REFUSED
        client = Client(source.client_id or "")
        if way.needs_client:
            client = self.clients(source, rules.at_revocation, wanted.properties)
        request = revocation_request(rules, way, client=client, tokens=tokens, properties=wanted.properties)
        ends_at = wanted.access_ends_at if TokenKind.ACCESS in taken else None
        answer = await self._exchanged(request)
        return read_revocation(answer, way, now=due.now, outlived=ends_at is not None and ends_at <= due.now)

    def _opened(self, wanted: NewRevocation) -> dict[TokenKind, Secret]:
        sealed = {TokenKind.REFRESH: wanted.refresh_ciphertext, TokenKind.ACCESS: wanted.access_ciphertext}
        return {
            kind: self.sealer.open_revocation(wanted.account_id, wanted.sealed_key, kind, ciphertext)
            for kind, ciphertext in sealed.items()
            if ciphertext is not None
        }

    async def _exchanged(self, request: TokenRequest) -> Answer | NoAnswer:
        span = self.deadline.total_seconds()
        deadline = self.clocks.loop_time() + span
        async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
            return await connection.exchange(request, deadline=deadline, send_before=self.clocks.boottime() + span)


def _entry(tried: _Tried, end: RevocationEnd) -> AuditEntry | None:
    """What the audit trail is told; nothing when it is not known any more whose trail that would be."""
    if tried.source is None:
        return None
    ours = Caller("tokenkeep", tried.source.environment, frozenset())
    return AuditEntry(ours, "account.revoke", format_id(IdKind.ACCOUNT, tried.due.wanted.account_id), end.value)
