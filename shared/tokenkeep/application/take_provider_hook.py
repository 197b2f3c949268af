"""Take a provider's call: prove it, read its notices, and give each its effect before it is answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tokenkeep.application.hook_proofs import ProveHook, Unproven
from tokenkeep.application.provider_notices import HookedSource, HookObserver
from tokenkeep.application.settle_notices import NoticeResult, SettleNotices
from tokenkeep.application.work import Works
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.hook_challenges import challenge_answer
from tokenkeep.providers.hook_notices import Illegible, Notice, parse_body, read_notices
from tokenkeep.providers.hook_rules import HookScheme, ProviderHooks
from tokenkeep.providers.hook_signatures import HookRequest
from tokenkeep.providers.security_events import read_security_events


class CallResult(StrEnum):
    """What became of a call as a whole, where it brought no notices."""

    REFUSED = "refused"
    CHALLENGE = "challenge"


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing proves that the provider of a source here has made the call. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The provider asked whether the address is ours; this is what it wants to hear."""

    answer: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Taken:
    """What the call brought has had its effect, and is durable. `as_token`: it was a security event token."""

    as_token: bool


Reception = Refused | Challenged | Taken


@dataclass(frozen=True, slots=True)
class TakeProviderHook:
    """No key of ours is asked for: the provider's signature is the authentication, and no call tells which sources there are."""

    works: Works
    catalogue: Catalogue
    prove: ProveHook
    settle: SettleNotices
    observer: HookObserver

    async def __call__(
        self, source_id: SourceId | None, request: HookRequest, *, correlation_id: str, address: str | None
    ) -> Reception:
        """What became of it. Every notice had its effect in a transaction of its own; one that can't be read stops no other.

        Raises:
            ProviderUnavailable: The keys that prove it can't be had now.
        """
        source = await self._source(source_id)
        provider = None if source is None else self._provider(source)
        hooks = None if provider is None else provider.hooks
        proof = await self.prove(source, hooks, request)
        if isinstance(proof, Unproven) or source is None or provider is None or hooks is None:
            self._count(provider if hooks is not None else None, CallResult.REFUSED)
            return Refused()
        document = parse_body(request.body) if isinstance(proof, Secret) else proof
        if isinstance(proof, Secret):
            answer = challenge_answer(hooks, request, document, proof)
            if answer is not None:
                self._count(provider, CallResult.CHALLENGE)
                return Challenged(answer)
        for notice in _notices(hooks, request, document):
            if isinstance(notice, Illegible):
                self._count(provider, NoticeResult.ILLEGIBLE)
                continue
            result = await self.settle(source.config, provider, notice, correlation_id=correlation_id, address=address)
            self._count(provider, result)
        return Taken(as_token=hooks.scheme is HookScheme.SECURITY_EVENT_TOKEN)

    async def _source(self, source_id: SourceId | None) -> HookedSource | None:
        if source_id is None:
            return None
        async with self.works() as work:
            return await work.provider_notices.source(source_id)

    def _provider(self, source: HookedSource) -> Provider | None:
        try:
            return self.catalogue.get(source.config.provider)
        except NotFound:  # this process does not know it
            return None

    def _count(self, provider: Provider | None, result: StrEnum) -> None:
        self.observer.provider_hook_taken(None if provider is None else provider.slug, result.value)


def _notices(hooks: ProviderHooks, request: HookRequest, document: Any) -> Iterator[Notice | Illegible]:
    if hooks.scheme is HookScheme.SECURITY_EVENT_TOKEN:
        return read_security_events(hooks, document)
    return read_notices(hooks, request, document)
