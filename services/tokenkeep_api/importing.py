"""Imports over HTTP: NDJSON in, NDJSON out, at the pace of whoever is slowest."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import orjson
import structlog
from asyncpg import PostgresConnectionError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.application.import_accounts import Described, ImportAccounts, ImportRequest, ImportRun, Line
from tokenkeep.application.import_progress import LineResult, LineStatus, Refusal
from tokenkeep.application.work import Work
from tokenkeep.domain.errors import InvalidInput, TokenkeepError
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep_api.account_bodies import AccountBody
from tokenkeep_api.lines import LONGEST_LINE, LineBatches
from tokenkeep_api.problems import Problem, invalid, is_passing, problem_of, temporarily_unavailable
from tokenkeep_api.request_bodies import NDJSON, parse_json
from tokenkeep_api.stack import where

MOST_AT_ONCE = 4
MOST_OF_ONE = 2
SEND_DEADLINE_S = 60.0
_TRY_AGAIN_S = 5
_LINGER_S = 2.0
"""A connection that is closed over a body that nobody reads is reset, and takes the last words with it."""
_CLOSING_S = 2.0
_WAITS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
# A proxy that gathers the results would hold them back until the end.
_HEADERS = {"X-Accel-Buffering": "no"}
_TROUBLE = (DBAPIError, PoolTimeout, PostgresConnectionError, OSError)

_log = structlog.get_logger("tokenkeep.api")

Done = TypeVar("Done")


class Patience:
    """Transactions that are tried again for some 15 s while the database can't be had: the stream waits meanwhile."""

    def __init__(self, works: PostgresWorks, *, waits_s: Sequence[float] = _WAITS_S) -> None:
        self._works = works
        self._waits_s = waits_s

    async def __call__(self, do: Callable[[Work], Awaitable[Done]]) -> Done:
        """What it gave. Raises what it raised, at once or when patience has an end."""
        for wait_s in self._waits_s:
            try:
                return await self._once(do)
            except _TROUBLE as error:
                if not is_passing(error):
                    raise
                _log.warning("import_delayed", error=type(error).__name__, where=where(error))
            await asyncio.sleep(wait_s)
        return await self._once(do)

    async def _once(self, do: Callable[[Work], Awaitable[Done]]) -> Done:
        async with self._works() as work:
            return await do(work)


class BodyLines:
    """Reads lines as `POST /v1/accounts` reads bodies. `source_id` is the one that the request names for all of them."""

    def __init__(self, catalogue: Catalogue, source_id: str | None) -> None:
        self._catalogue = catalogue
        self._source_id = source_id

    def described(self, line: Line) -> Described | Refusal:
        """The account that a line describes, and its source."""
        if line.content is None:
            return Refusal("line_too_long", f"a line has at most {LONGEST_LINE} bytes")
        if not line.content.strip():
            return Refusal("malformed_json", "the line is empty")
        try:
            body = AccountBody.model_validate(self._with_source(parse_json(line.content)))
            source_id = SourceId(parse_id(IdKind.SOURCE, body.source_id, field="source_id"))
        except ValidationError as error:
            return _refusal(invalid(error.errors(include_url=False, include_input=False)))
        except Problem as problem:
            return _refusal(problem)
        except TokenkeepError as error:
            return self.refusal(error)
        return Described(source_id, lambda source: body.wanted(self._catalogue.get(source.provider), source))

    def refusal(self, error: TokenkeepError) -> Refusal:
        """An error in the words of its problem document."""
        problem = problem_of(error)
        if problem is None:
            raise error
        return _refusal(problem)

    def _with_source(self, document: Any) -> Any:
        if self._source_id is None or not isinstance(document, dict):
            return document
        if document.setdefault("source_id", self._source_id) != self._source_id:
            raise InvalidInput("source_id", "the request names another source for all lines")
        return document


class Importing:
    """Answers imports, a few at a time, and of one environment not so many that the others wait for it."""

    def __init__(
        self,
        import_accounts: ImportAccounts,
        *,
        most_at_once: int = MOST_AT_ONCE,
        most_of_one: int = MOST_OF_ONE,
        send_deadline_s: float = SEND_DEADLINE_S,
    ) -> None:
        self._import_accounts = import_accounts
        self._most = most_at_once
        self._most_of_one = most_of_one
        self._send_deadline_s = send_deadline_s
        self._running: Counter[str] = Counter()

    def __call__(self, request: ImportRequest, reading: BodyLines) -> Response:
        """The answer, which reads the request's body while it is sent."""
        return _ImportAnswer(self._run(request, reading), self._send_deadline_s)

    @asynccontextmanager
    async def _run(self, request: ImportRequest, reading: BodyLines) -> AsyncIterator[ImportRun]:
        with self._place(request.caller.environment):
            run = await self._import_accounts(request, reading)
            try:
                yield run
            finally:
                await _closed(run)

    @contextmanager
    def _place(self, environment: str) -> Iterator[None]:
        if self._running[environment] >= self._most_of_one:
            raise _too_many(429, "as many imports of this environment are under way here as may be")
        if self._running.total() >= self._most:
            raise _too_many(503, "as many imports are under way here as may be")
        self._running[environment] += 1
        try:
            yield
        finally:
            self._running[environment] -= 1
            if not self._running[environment]:
                del self._running[environment]


def _too_many(status: int, detail: str) -> Problem:
    retry = {"Retry-After": str(_TRY_AGAIN_S), "Connection": "close"}
    return Problem(status, "too_many_imports", detail, headers=retry, retry_after=_TRY_AGAIN_S)


class _ImportAnswer(Response):
    """An answer of one line for each line of the request.

    What goes wrong before the first result is a problem as ever. Later on it is the last line, and the stream is cut: nobody
    takes it for whole.
    """

    media_type = NDJSON

    def __init__(self, run: AbstractAsyncContextManager[ImportRun], send_deadline_s: float) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._run = run
        self._send_deadline_s = send_deadline_s
        self._started = False
        self._counts: Counter[LineStatus] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's form
        """Answer one request."""
        lines = LineBatches(receive)
        ended = "left"
        try:
            async with self._run as run:
                problem = await self._stream(run, lines, send)
            ended = "whole" if problem is None else problem.code
            if problem is None:
                await self._send(send, b"", more=False)
            else:
                await lines.drop(within_s=_LINGER_S)
        except ClientDisconnect:
            ended = "left"
        except Problem as problem:
            ended = problem.code
            raise
        finally:
            await lines.close()
            counts = {one.value: self._counts[one] for one in LineStatus}
            _log.info("import_ended", ended=ended, lines=lines.seen, **counts)

    async def _stream(self, run: ImportRun, lines: LineBatches, send: Send) -> Problem | None:
        """Everything from the first line on; the problem that cut the stream."""
        try:
            async with aclosing(lines.batches()) as batches:
                async for batch in batches:
                    taken = await run.take(batch)
                    await self._give(send, taken.results)
                    if taken.stopped is not None:
                        raise taken.stopped
            stopped = await run.finish(lines.seen)
            if stopped is not None:
                raise stopped
        except (TokenkeepError, Problem, *_TROUBLE) as error:
            if isinstance(error, OSError) and not is_passing(error):
                raise
            problem = _problem(error)
            if not self._started:
                raise problem from None
            refused = LineResult(sum(self._counts.values()) + 1, LineStatus.REJECTED, refusal=_refusal(problem))
            await self._send(send, _written([refused]), more=True)
            return problem
        return None

    async def _give(self, send: Send, results: Sequence[LineResult]) -> None:
        self._counts.update(one.status for one in results)
        if results:
            await self._send(send, _written(results), more=True)

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        """Waits while the client does not take what was sent before. Raises `ClientDisconnect` when it never does."""
        try:
            async with asyncio.timeout(self._send_deadline_s):
                if not self._started:
                    self._started = True
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except (TimeoutError, OSError):
            raise ClientDisconnect from None


async def _closed(run: ImportRun) -> None:
    """Close it, unless that takes long: what is left behind, housekeeping finds."""
    try:
        async with asyncio.timeout(_CLOSING_S):
            await run.close()
    except _TROUBLE as error:
        _log.warning("import_not_forgotten", error=type(error).__name__)


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    problem = problem_of(error) if isinstance(error, TokenkeepError) else None
    if problem is not None:
        return problem
    if is_passing(error):
        _log.warning("database_unavailable", error=type(error).__name__, where=where(error))
        return temporarily_unavailable()
    raise error


def _refusal(problem: Problem) -> Refusal:
    return Refusal(problem.code, problem.detail, problem.field)


def _written(results: Sequence[LineResult]) -> bytes:
    return b"".join(orjson.dumps(one.document(), option=orjson.OPT_APPEND_NEWLINE) for one in results)
