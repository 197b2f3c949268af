"""What is gathered in memory and written once a second: reads of credentials for the audit trail, uses of API keys."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.issue_api_key import ADMIN_NAME
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import ApiKeyId, IdKind, parse_id

FLUSH_EVERY_S = 1.0
# More accounts than a process can be asked for in a second, some times over.
_MOST_GROUPS = 50_000
_PIECE = 500
_LAST_FLUSH_S = 5.0

_log = structlog.get_logger("tokenkeep.buffers")

_Group = tuple[str, str, str | None, str, str | None, str]


class CredentialReads:
    """Counts equal reads of credentials: by caller, action, target and result.

    Bounded: when there are too many groups at once, further ones are counted without their target; no read is lost.
    """

    def __init__(
        self, write: Callable[[Sequence[AuditEntry]], Awaitable[None]], *, most_groups: int = _MOST_GROUPS
    ) -> None:
        self._write = write
        self._most = most_groups
        self._entries: dict[_Group, tuple[Caller, int]] = {}
        self._writing = asyncio.Lock()

    def note(self, caller: Caller, action: str, target: str | None, result: str = "ok", *, count: int = 1) -> None:
        """Take note of a read, or of `count` equal ones."""
        group = (caller.name, caller.environment, caller.address, action, target, result)
        if group not in self._entries and len(self._entries) >= self._most:
            group = (caller.name, caller.environment, None, action, None, result)
        known = self._entries.get(group)
        self._entries[group] = (caller, count) if known is None else (known[0], known[1] + count)

    def unwritten(self) -> int:
        """How many reads are noted and not yet being written."""
        return sum(count for _, count in self._entries.values())

    async def flush(self) -> None:
        """Write what was noted, after whoever is writing already. If that fails, it is kept for the next time."""
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        entries, self._entries = list(self._entries.items()), {}
        written = 0
        try:
            while written < len(entries):
                # In pieces, between which requests are served.
                piece = entries[written : written + _PIECE]
                await self._write([_entry(group, caller, count) for group, (caller, count) in piece])
                written += len(piece)
        except BaseException:  # cancelled or failed, and raised again: what was noted must not be lost
            for (_, _, _, action, target, result), (caller, count) in entries[written:]:
                self.note(caller, action, target, result, count=count)
            raise


def _entry(group: _Group, caller: Caller, count: int) -> AuditEntry:
    name, environment, address, action, target, result = group
    return AuditEntry(Caller(name, environment, caller.scopes, address), action, target, result=result, count=count)


class KeyUses:
    """When each API key was last used."""

    def __init__(
        self,
        write: Callable[[dict[ApiKeyId, datetime]], Awaitable[None]],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write = write
        self._now = now
        self._moments: dict[str, datetime] = {}
        self._writing = asyncio.Lock()

    def note(self, caller: Caller) -> None:
        """The caller's key is used now. There are as many as there are keys, so this is bounded by itself."""
        if caller.name != ADMIN_NAME:
            self._moments[caller.name] = self._now()

    async def flush(self) -> None:
        """Write what was noted, after whoever is writing already. If that fails it is kept, unless there is a later use by then."""
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        moments, self._moments = self._moments, {}
        if not moments:
            return
        try:
            # In the order of ids, as every statement that locks several rows.
            await self._write(
                {ApiKeyId(parse_id(IdKind.API_KEY, name)): moment for name, moment in sorted(moments.items())}
            )
        except BaseException:  # cancelled or failed, and raised again: what was noted must not be lost
            self._moments = moments | self._moments
            raise


class Flusher:
    """Flushes the buffers each second, and once more at the end."""

    def __init__(
        self,
        *flushes: Callable[[], Awaitable[None]],
        every_s: float = FLUSH_EVERY_S,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._flushes = flushes
        self._every_s = every_s
        self._failed = failed
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, with all that was noted written, unless the database is away for longer than 5 s."""
        # A flush under way is let finish: to cancel it would leave open whether it was written.
        self._stopping.set()
        try:
            async with asyncio.timeout(_LAST_FLUSH_S):
                if self._task is not None:
                    await self._task
                await self.flush()
        except TimeoutError:
            _log.error("last_flush_failed", error="TimeoutError")

    async def flush(self) -> None:
        """Flush all buffers now. A database that is away is no reason to stop: the next round writes it all."""
        for flush in self._flushes:
            try:
                await flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, the trail of what is read must go on
                self._failed()
                _log.warning("flush_failed", error=type(error).__name__)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), self._every_s)
            except TimeoutError:
                await self.flush()
