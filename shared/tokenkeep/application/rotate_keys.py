"""Wrap every data key anew by the current key of the keyring, beside the traffic."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.key_rotation import Place, Rewrapper, Rotated, WrappedKeys, WrappedRow
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import VaultError

ACTION: Final = "keyring.rotate"
_OPERATOR: Final = Caller("command-line", "default", frozenset())
_LOOKED_AT: Final = 5_000
"""Rows of a page. Those that need nothing cost an index entry each."""

_BATCH: Final = 200
"""Rows of a transaction: a refresh that comes for one of them waits for some milliseconds at most."""

_MOST_PASSES: Final = 20
_PASS_PAUSE_S: Final = 0.5


def _never() -> bool:
    return False


def _say_nothing(table: str, rows: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """Walks every table by its primary key, once, and wraps anew what another key wraps; then comes back for what was held.

    What a data key has sealed stays as it is, so nobody who has read a row before is harmed. A row is written only while it is as it was
    read, and one that somebody holds is passed over: a refresh is never waited for, nor made to wait longer than one short transaction.
    Nothing is remembered between two runs, and nothing need be: a row on the current key is done.
    """

    keys: WrappedKeys
    vault: Rewrapper
    clocks: Clocks
    rows_per_s: float = 0.0
    """How many rows a second in the long run; 0 is as many as can be."""

    progress: Callable[[str, int], None] = _say_nothing
    is_stopped: Callable[[], bool] = _never
    failed: Counter[str] = field(default_factory=Counter, init=False)
    rewrapped: Counter[str] = field(default_factory=Counter, init=False)

    async def __call__(self, current: str) -> Rotated:
        """Wrap by this key, which the vault has as its current one. Raises what the database raises; what was done stays done."""
        left = 0
        for number in range(_MOST_PASSES):
            self.failed.clear()
            left = 0
            for table in self.keys.tables():
                left += await self._pass(table, current)
            if self.is_stopped() or not left:
                break
            if number + 1 < _MOST_PASSES:
                await self.clocks.sleep(_PASS_PAUSE_S)
        done = Rotated(current, dict(self.rewrapped), dict(self.failed), left, stopped=self.is_stopped())
        count = sum(self.rewrapped.values())
        await self.keys.audit(
            AuditEntry(_OPERATOR, ACTION, current, "ok" if done.is_complete else "incomplete", max(count, 1))
        )
        return done

    async def _pass(self, table: str, current: str) -> int:
        """One walk over a table; how many rows were found on another key, could be opened, and were not written."""
        after: Place | None = None
        left = 0
        while not self.is_stopped():  # each page begins behind the one before
            found, after = await self.keys.page(table, after, current=current, limit=_LOOKED_AT)
            size = self._batch_size()
            for start in range(0, len(found), size):
                if self.is_stopped():
                    return left
                left += await self._batch(table, found[start : start + size])
            if after is None:
                break
        return left

    def _batch_size(self) -> int:
        """At a slow rate no more than a second's worth, so that a stop is heard within it."""
        return max(1, min(_BATCH, int(self.rows_per_s))) if self.rows_per_s else _BATCH

    async def _batch(self, table: str, found: Sequence[WrappedRow]) -> int:
        began = self.clocks.boottime()
        anew: list[tuple[WrappedRow, SealedKey]] = []
        for row in found:
            try:
                anew.append((row, self.vault.rewrap(row.owner, row.key)))
            except VaultError:
                self.failed[table] += 1
        if not anew:
            return 0
        written = await self.keys.replace(table, anew)
        self.rewrapped[table] += written
        self.progress(table, written)
        if self.rows_per_s:
            await self.clocks.sleep(max(0.0, len(anew) / self.rows_per_s - (self.clocks.boottime() - began)))
        return len(anew) - written
