"""Sweep the credential stores: take away what no row refers to any more."""

from collections.abc import Sequence

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.move_credentials import CredentialRows
from tokenkeep.domain.credential_store import KeptAt, KeptName

_WATCH_S = 3600.0
_BATCH = 500
_MOST_WATCHED = 100_000


class SweepStores:
    """Takes away what it has itself seen without a row for an hour, at both ends of it.

    What was just put there has no row yet, for its commit may have to wait for the database; it is put there anew every half
    an hour. No clock but this process's own, which only goes forward, is asked: a name's age tells nothing.
    """

    def __init__(
        self, stores: CredentialStores, rows: CredentialRows, clocks: Clocks, *, watch_s: float = _WATCH_S
    ) -> None:
        self._stores = stores
        self._rows = rows
        self._clocks = clocks
        self._watch_s = watch_s
        self._seen: dict[KeptAt, float] = {}

    async def __call__(self) -> int:
        """One look at everything; how many were taken away.

        Raises what the database or a store raises; what was seen until then stays seen.
        """
        removed = 0
        for kind in self._stores.kinds:
            await self._stores.claim(kind)
            batch: list[str] = []
            async for text in self._stores.names(kind):
                batch.append(text)
                if len(batch) >= _BATCH:
                    removed += await self._look(kind, batch)
                    batch = []
            removed += await self._look(kind, batch)
        return removed

    async def _look(self, kind: str, texts: Sequence[str]) -> int:
        names = {text: name for text in texts if (name := KeptName.parse(text)) is not None and str(name) == text}
        if not names:
            return 0
        places = await self._rows.places(list({name.account_id for name in names.values()}))
        now, removed = self._clocks.boottime(), 0
        for text, name in names.items():
            at = KeptAt(kind, text)
            if places.get(name.account_id) == (name.epoch, name.generation):
                self._seen.pop(at, None)
            elif now - self._since(at, now) >= self._watch_s:
                await self._stores.remove(at)
                self._seen.pop(at, None)
                removed += 1
        return removed

    def _since(self, at: KeptAt, now: float) -> float:
        """When it was first seen without a row. What there is no room to remember is seen for the first time again."""
        if at not in self._seen and len(self._seen) >= _MOST_WATCHED:
            return now
        return self._seen.setdefault(at, now)
