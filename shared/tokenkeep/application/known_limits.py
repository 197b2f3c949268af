"""The limits of sources, as their options and their providers' entries say, remembered for a few seconds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import SourceConfigs
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_limits import Bound
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.request_limits import is_one_service, provider_bound, source_bound

_KNOWN_FOR_S = 5.0
_MOST_SOURCES = 10_000


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What bounds a source. `bulkhead` names whose capacity it shares: its provider's, or its token endpoint's host's where that is many servers."""

    source_id: SourceId
    provider: str
    bounds: tuple[Bound, ...]
    bulkhead: str

    @property
    def per_s(self) -> float | None:
        """The slowest rate among the bounds; None when there is none."""
        return min((one.rate.per_s for one in self.bounds if one.rate is not None), default=None)


class KnownLimits:
    """Reads limits where they are not known, or not lately."""

    def __init__(self, sources: SourceConfigs, catalogue: Catalogue, clocks: Clocks) -> None:
        self._sources = sources
        self._catalogue = catalogue
        self._clocks = clocks
        self._known: dict[SourceId, tuple[float, SourceLimits]] = {}

    async def __call__(self, source_ids: Collection[SourceId]) -> dict[SourceId, SourceLimits]:
        """The limits of these; sources that are gone are left out. Raises what the database raises."""
        now = self._clocks.loop_time()
        known = {
            one: self._known[one]
            for one in source_ids
            if one in self._known and now - self._known[one][0] <= _KNOWN_FOR_S
        }
        stale = [one for one in source_ids if one not in known]
        if stale:
            read = {one: (now, self._limits_of(config)) for one, config in (await self._sources(stale)).items()}
            if len(self._known) + len(read) > _MOST_SOURCES:
                self._known = {one: self._known[one] for one in source_ids if one in self._known}
            for one in stale:
                self._known.pop(one, None)
            self._known |= read
            known |= read
        return {one: limits for one, (_, limits) in known.items()}

    def _limits_of(self, config: SourceConfig) -> SourceLimits:
        own = f"source:{config.id.hex}"
        try:
            provider = self._catalogue.get(config.provider)
        except TokenkeepError:  # another process's catalogue may know it
            return SourceLimits(config.id, config.provider, (), own)
        bounds = (source_bound(own, provider, config.options), provider_bound(provider))
        bulkhead = f"provider:{provider.slug}" if is_one_service(provider) else _host_of(config.options) or own
        return SourceLimits(config.id, config.provider, tuple(one for one in bounds if one is not None), bulkhead)


def _host_of(options: Mapping[str, Any]) -> str | None:
    """The bulkhead of all sources whose token endpoints are at one host: they hang together."""
    host = urlsplit(str(options.get("token_url") or "")).netloc.rpartition("@")[2]
    return f"host:{host}" if host else None
