"""Revoke grants: tell providers which tokens of deleted accounts shall be worth nothing any more (RFC 7009)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import SourceConfigs, TokenEndpoints
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import ConnectFailed
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.revocation import RevocationResult, read_revocation
from tokenkeep.providers.token_request import revocation_request

MOST_TRIES = 10
LONGEST_KEPT = timedelta(days=3)
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class NewRevocation:
    """A token that its provider is to be told to revoke, sealed under its account's data key.

    By its `fingerprint` (SHA-256) or `external_id` it is known whether the same grant, or user, comes back meanwhile: then
    nothing is revoked.
    """

    account_id: AccountId
    source_id: SourceId
    sealed_key: SealedKey
    ciphertext: bytes
    fingerprint: bytes
    properties: Mapping[str, Any]
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class DueRevocation:
    """A request for a revocation, claimed for one try. `tries` counts this one; `age` since it was asked for."""

    id: UUID
    wanted: NewRevocation
    tries: int
    age: timedelta


class RevocationRequests(Protocol):
    """The tokens that wait to be revoked. Each call is a transaction of its own."""

    async def claim(self, *, limit: int) -> Sequence[DueRevocation]: ...

    async def done(self, ids: Sequence[UUID]) -> None: ...


class RevocationObserver(Protocol):
    """Sees what became of revocations. `error` names a fault of ours, where it was one."""

    def revoked(self, due: DueRevocation) -> None: ...

    def refused(self, due: DueRevocation) -> None: ...

    def postponed(self, due: DueRevocation, error: str | None) -> None: ...

    def given_up(self, due: DueRevocation, error: str | None) -> None: ...


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
        over = await asyncio.gather(*(self._is_over(one, sources.get(one.wanted.source_id)) for one in due))
        ids = [one.id for one, done in zip(due, over, strict=True) if done]
        if ids:
            await self.requests.done(ids)
        return len(due)

    async def _is_over(self, due: DueRevocation, source: SourceConfig | None) -> bool:
        """Whether nothing more is to be done about it."""
        error: str | None = None
        try:
            result = RevocationResult.REFUSED if source is None else await self._asked(due.wanted, source)
        except ConnectFailed as failure:
            result, error = RevocationResult.LATER, failure.reason.value
        except Exception as failure:  # noqa: BLE001 - a key or a property may be missing; one fault must not repeat its neighbours
            result, error = RevocationResult.LATER, type(failure).__name__
        match result:
            case RevocationResult.REVOKED:
                self.observer.revoked(due)
            case RevocationResult.REFUSED:
                self.observer.refused(due)
            case RevocationResult.LATER if due.tries < MOST_TRIES and due.age < LONGEST_KEPT:
                self.observer.postponed(due, error)
                return False
            case RevocationResult.LATER:
                self.observer.given_up(due, error)
        return True

    async def _asked(self, wanted: NewRevocation, source: SourceConfig) -> RevocationResult:
        rules = effective_rules(self.catalogue.get(source.provider), source.options)
        if rules.revocation_url is None:
            return RevocationResult.REFUSED
        token = self.sealer.open_revocation(wanted.account_id, wanted.sealed_key, wanted.ciphertext)
        request = revocation_request(
            rules,
            rules.revocation_url,
            client=self.clients(source, rules, wanted.properties),
            refresh_token=token,
            properties=wanted.properties,
        )
        return await self._exchanged(request)

    async def _exchanged(self, request: TokenRequest) -> RevocationResult:
        span = self.deadline.total_seconds()
        deadline = self.clocks.loop_time() + span
        async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
            answer = await connection.exchange(request, deadline=deadline, send_before=self.clocks.boottime() + span)
        return read_revocation(answer)
