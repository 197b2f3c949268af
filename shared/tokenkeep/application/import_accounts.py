"""Import: accounts by the thousand, in batches, so that it can break off anywhere and be gone on with."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Protocol, TypeVar
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.create_account import (
    AuthorizationCode,
    CreateAccount,
    NewAccount,
    VerifiedToken,
    shown,
)
from tokenkeep.application.import_progress import (
    DIGEST_BYTES,
    ImportChunk,
    ImportProgress,
    LineResult,
    LineStatus,
    NewImport,
    Refusal,
    read,
    written,
)
from tokenkeep.application.prepared_account import (
    BeingRevoked,
    Existing,
    PreparedAccount,
    Stored,
    StoringEach,
    Unstorable,
)
from tokenkeep.application.work import Work
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.arrival import Arrival, is_overdue
from tokenkeep.domain.conflicts import IdempotencyMismatch, RequestInProgress
from tokenkeep.domain.errors import InvalidInput, NotFound, RevocationUnanswered, TokenkeepError
from tokenkeep.domain.ids import IdKind, SourceId, format_id, new_id
from tokenkeep.domain.lives_left import LivesLeft
from tokenkeep.domain.source import Source
from tokenkeep.providers.machine_credentials import MachineCredentials

_FIELD = "import_digest"
_VERSION = (0, 0)
_KEY_BYTES = 32
_AT_ONCE = 25
"""So many lines are prepared before others get a turn on the loop; sealing one takes a fraction of a millisecond."""
_NOT_STORABLE = Refusal("not_storable", "the database does not take this account")
_EXISTS_ELSEWHERE = Refusal("account_exists", "an account of another environment came with this refresh token")
_BEING_REVOKED = Refusal(
    RevocationUnanswered.code, "this grant is being revoked at the provider just now: try the line again in a minute"
)
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it came. `content` is None if it was too long to be kept; `identity` tells lines apart in any case."""

    number: int
    content: bytes | None
    identity: bytes


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a request says besides its lines. `source_id` is the one of all lines; `key` lets others go on with it."""

    caller: Caller
    key: str | None
    source_id: SourceId | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of lines, in order. `stopped`: why the one after them, and all that follow, were not taken."""

    results: Sequence[LineResult]
    stopped: TokenkeepError | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """An account as far as it can be read without its source; `at` reads the rest, and raises `InvalidInput`."""

    source_id: SourceId
    at: Callable[[Source], NewAccount]


class LineReading(Protocol):
    """Reads lines; says in the API's words why something is refused."""

    def described(self, line: Line) -> Described | Refusal: ...

    def refusal(self, error: TokenkeepError) -> Refusal: ...


class Persisting(Protocol):
    """Does something in a transaction, from the start again while the database stumbles."""

    async def __call__(self, do: Callable[[Work], Awaitable[Done]]) -> Done: ...


@dataclass(frozen=True, slots=True)
class ImportAccounts:
    """Begins imports, and goes on with those that broke off."""

    create: CreateAccount
    persist: Persisting

    async def __call__(self, request: ImportRequest, reading: LineReading) -> "ImportRun":
        """The import, to be given its lines from the first one on.

        Raises:
            NotFound: There is no such source in this environment.
            IdempotencyMismatch: The key was used with another source.
        """
        vault = self.create.sealer.vault
        import_id, holder = new_id(), new_id()
        sealed_key = vault.new_data_key(import_id)
        digest_key = vault.seal(import_id, sealed_key, _FIELD, _VERSION, secrets.token_bytes(_KEY_BYTES))
        wanted = NewImport(
            id=import_id,
            environment=request.caller.environment,
            key=request.key,
            source=None if request.source_id is None else format_id(IdKind.SOURCE, request.source_id),
            holder=holder,
            sealed_key=sealed_key,
            digest_key=digest_key,
        )

        async def begin(work: Work) -> ImportProgress:
            source_id = request.source_id
            if source_id is not None and await work.sources.get(source_id, request.caller.environment) is None:
                raise NotFound("source")
            progress = await work.imports.begin(wanted)
            if progress is None:
                raise IdempotencyMismatch
            return progress

        progress = await self.persist(begin)
        digest_key = vault.open(progress.id, progress.sealed_key, _FIELD, _VERSION, progress.digest_key)
        return ImportRun(self, request, reading, progress=progress, holder=holder, digest_key=digest_key)


class ImportRun:
    """One request's work on an import. Holds no transaction and no line between two calls."""

    def __init__(
        self,
        use_case: ImportAccounts,
        request: ImportRequest,
        reading: LineReading,
        *,
        progress: ImportProgress,
        holder: UUID,
        digest_key: bytes,
    ) -> None:
        self._create = use_case.create
        self._persist = use_case.persist
        self._request = request
        self._reading = reading
        self._import_id = progress.id
        self._began_at = progress.began_at
        self._finished = progress.finished
        self._done = progress.lines
        self._overdue = progress.overdue
        self._holder = holder
        self._digest_key = digest_key
        self._lives: dict[SourceId, LivesLeft] = {}
        self._kept: ImportChunk | None = None
        self._kept_results: Sequence[LineResult] = ()

    async def take(self, lines: Sequence[Line]) -> Taken:
        """Do these lines, all in one transaction. Those that were done before are compared, and their results given again."""
        results: list[LineResult] = []
        fresh = [line for line in lines if line.number > self._done]
        for line in lines[: len(lines) - len(fresh)]:
            chunk = await self._chunk_with(line.number)
            if chunk.digest_of(line.number) != self._digest(line):
                return Taken(results, IdempotencyMismatch())
            results.append(self._kept_results[line.number - chunk.first_line])
        if not fresh:
            return Taken(results)
        if self._finished:
            return Taken(results, IdempotencyMismatch())
        try:
            results += await self._do(fresh)
        except RequestInProgress as taken_over:
            return Taken(results, taken_over)
        return Taken(results)

    async def finish(self, lines: int) -> TokenkeepError | None:
        """There were so many lines and no more. The error, if there had been more of them under this key."""
        if lines < self._done:
            return IdempotencyMismatch()
        if self._request.key is not None:
            await self._persist(lambda work: work.imports.finish(self._import_id, self._holder))
        return None

    async def close(self) -> None:
        """Forget the import if nobody can go on with it. Call it however the request ended."""
        if self._request.key is None:
            await self._persist(lambda work: work.imports.forget(self._import_id))

    async def _do(self, lines: Sequence[Line]) -> Sequence[LineResult]:
        overdue, prepared = await self._prepared(lines)
        digests = b"".join(self._digest(line) for line in lines)
        first, last = lines[0].number, lines[-1].number

        async def store(work: Work) -> Sequence[LineResult]:
            done = await work.imports.lock(self._import_id, self._holder)
            if done is None:
                raise RequestInProgress
            if done >= last:  # committed by a try of which we never heard
                chunk = await work.imports.chunk_with(self._import_id, first)
                assert chunk is not None  # noqa: S101 - that try has written it
                return read(chunk)
            results = await self._stored(work, lines, prepared)
            await work.imports.advance(self._import_id, ImportChunk(first, digests, written(results)), overdue=overdue)
            return results

        results = await self._persist(store)
        self._done, self._overdue = last, overdue
        return results

    async def _prepared(self, lines: Sequence[Line]) -> tuple[int, Sequence[PreparedAccount | Refusal]]:
        """Each line's account, ready to be stored, and how many overdue ones there are in the import with them."""
        described: list[Described | Refusal] = []
        for number, line in enumerate(lines):
            await _others(number)
            described.append(self._reading.described(line))
        needed = {one.source_id for one in described if isinstance(one, Described)}

        async def look(work: Work) -> tuple[datetime, dict[SourceId, Source | None]]:
            environment = self._request.caller.environment
            return await work.accounts.now(), {one: await work.sources.get(one, environment) for one in needed}

        now, sources = await self._persist(look)
        overdue = self._overdue
        prepared: list[PreparedAccount | Refusal] = []
        for number, one in enumerate(described):
            await _others(number)
            ready = one if isinstance(one, Refusal) else self._ready(one, sources[one.source_id], overdue, now=now)
            prepared.append(ready)
            if isinstance(ready, PreparedAccount) and ready.credentials is not None:
                overdue += is_overdue(ready.credentials.version, now=now)
                self._note(ready.account.source_id, ready.credentials.version.expires_at, now=now)
        return overdue, prepared

    def _ready(
        self, described: Described, source: Source | None, overdue: int, *, now: datetime
    ) -> PreparedAccount | Refusal:
        if source is None:
            return self._reading.refusal(NotFound("source"))
        try:
            arrival = Arrival(self._began_at, overdue, self._lives.get(described.source_id))
            return self._account(described.at(source), source, arrival, now=now)
        except (InvalidInput, NotFound) as error:
            return self._reading.refusal(error)

    def _note(self, source_id: SourceId, expires_at: datetime | None, *, now: datetime) -> None:
        # In memory: who goes on with an import that broke off begins to count anew, and is careful until he knows.
        if expires_at is not None:
            self._lives.setdefault(source_id, LivesLeft()).note(expires_at - now)

    def _account(self, wanted: NewAccount, source: Source, arrival: Arrival, *, now: datetime) -> PreparedAccount:
        tokens = wanted.credentials
        if isinstance(tokens, AuthorizationCode | VerifiedToken | MachineCredentials):
            raise InvalidInput("credentials", "a provider has to be asked first, which POST /v1/accounts does")
        correlation_id = self._request.correlation_id
        return self._create.prepare(source, wanted, tokens, now=now, correlation_id=correlation_id, arrival=arrival)

    async def _stored(
        self, work: Work, lines: Sequence[Line], prepared: Sequence[PreparedAccount | Refusal]
    ) -> Sequence[LineResult]:
        prepared = await self._with_source(work, prepared)
        accounts = [one for one in prepared if isinstance(one, PreparedAccount)]
        storings = dict(
            zip((one.account.id for one in accounts), await work.new_accounts.add_each(accounts), strict=True)
        )
        stored = [one for one in accounts if isinstance(storings[one.account.id], Stored)]
        await work.tell([event for one in stored for event in one.events])
        caller = self._request.caller
        await work.audit(
            *(AuditEntry(caller, "account.import", format_id(IdKind.ACCOUNT, one.account.id)) for one in stored)
        )
        return [
            LineResult(line.number, LineStatus.REJECTED, refusal=one)
            if isinstance(one, Refusal)
            else _result(line.number, one, storings[one.account.id])
            for line, one in zip(lines, prepared, strict=True)
        ]

    async def _with_source(
        self, work: Work, prepared: Sequence[PreparedAccount | Refusal]
    ) -> Sequence[PreparedAccount | Refusal]:
        """Those whose sources are there still, and stay until the transaction ends; a refusal for each of the others."""
        environment = self._request.caller.environment
        named = sorted({one.account.source_id for one in prepared if isinstance(one, PreparedAccount)})
        gone = {one for one in named if await work.sources.get(one, environment, keep=True) is None}
        refusal = self._reading.refusal(NotFound("source"))
        return [
            refusal if isinstance(one, PreparedAccount) and one.account.source_id in gone else one for one in prepared
        ]

    async def _chunk_with(self, line: int) -> ImportChunk:
        kept = self._kept
        if kept is None or not kept.first_line <= line < kept.end:
            kept = await self._persist(lambda work: work.imports.chunk_with(self._import_id, line))
            assert kept is not None  # noqa: S101 - the line is done, and that was noted with its chunk
            self._kept, self._kept_results = kept, read(kept)
        return kept

    def _digest(self, line: Line) -> bytes:
        return blake2b(line.identity, key=self._digest_key, digest_size=DIGEST_BYTES).digest()


def _result(line: int, prepared: PreparedAccount, storing: StoringEach) -> LineResult:
    match storing:
        case Stored():
            return LineResult(line, LineStatus.CREATED, format_id(IdKind.ACCOUNT, prepared.account.id))
        case Existing(account_id=None):
            return LineResult(line, LineStatus.EXISTS, refusal=_EXISTS_ELSEWHERE)
        case Existing():
            return LineResult(line, LineStatus.EXISTS, shown(storing))
        case BeingRevoked():
            return LineResult(line, LineStatus.REJECTED, refusal=_BEING_REVOKED)
        case Unstorable():
            return LineResult(line, LineStatus.REJECTED, refusal=_NOT_STORABLE)


async def _others(number: int) -> None:
    """Let others have a turn, now and then."""
    if number % _AT_ONCE == 0:
        await asyncio.sleep(0)
