"""A file of accounts, sent to the API until every line of it has a result, however often the connection breaks."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from tokenkeep.cli.accounts.duplex import Answer, posted
from tokenkeep.cli.http_api.access import Access
from tokenkeep.cli.http_api.calls import not_the_api, parsed, refused
from tokenkeep.cli.http_api.failure import ApiRefused, BrokenOff
from tokenkeep.domain.errors import InvalidInput

_PIECE = 65_536
_NDJSON = "application/x-ndjson"
_OK = 200
_WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Between tries; one that has brought a result makes it start over."""
_PASSING_CODES = frozenset({"request_in_progress", "request_timeout", "temporarily_unavailable", "too_many_imports"})
_FINAL_CODES = frozenset({"idempotency_key_reused"})
_RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file that is to be imported: how many lines it has, and a digest of all of it."""

    path: Path
    lines: int
    digest: str

    @classmethod
    def look_at(cls, path: Path) -> "ImportFile":
        """Read it once. Raises `InvalidInput` when it can't be read twice."""
        if not path.is_file():
            raise InvalidInput("FILE", "must be an ordinary file: it is read twice, and again after a break")
        digest, ends, last = sha256(), 0, b"\n"
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                ends += piece.count(b"\n")
                last = piece[-1:]
        return cls(path, ends + (last != b"\n"), digest.hexdigest())

    def key(self, source_id: str | None) -> str:
        """The Idempotency-Key of this content at this source: the same for everybody who imports it."""
        content = f"{source_id or ''} {self.digest}"
        return f"file-{sha256(content.encode()).hexdigest()}"


class FileImport:
    """One run. `on_result` sees each line's result once, in order; `say` what a user may want to know of breaks."""

    def __init__(
        self,
        file: ImportFile,
        access: Access,
        *,
        source_id: str | None,
        key: str,
        on_result: Callable[[Result], None],
        say: Callable[[str], None],
    ) -> None:
        self._file = file
        self._access = access
        query = "" if source_id is None else f"?{urlencode({'source_id': source_id})}"
        self._url = f"{access.url}/v1/accounts/import{query}"
        self._key = key
        self._on_result = on_result
        self._say = say
        self._seen = 0

    async def run(self) -> None:
        """Until all is done.

        Raises:
            ApiRefused: The API refuses the import as a whole.
            BrokenOff: It broke off again and again. What is done is done; the same command goes on there.
        """
        tries = 0
        while True:
            before = self._seen
            try:
                await self._once()
            except BrokenOff as broken:
                tries = 0 if self._seen > before else tries
                if tries == len(_WAITS_S):
                    msg = f"{broken}, {tries} times without a result; the same command goes on after line {self._seen}"
                    raise BrokenOff(msg) from None
                self._say(f"{broken} after line {self._seen}; going on in {_WAITS_S[tries]:g} s")
                await asyncio.sleep(_WAITS_S[tries])
                tries += 1
            else:
                return

    async def _once(self) -> None:
        headers = {**self._access.headers(), "Idempotency-Key": self._key}
        async with posted(self._url, headers, self._pieces(), media_type=_NDJSON) as answer:
            if answer.status != _OK:
                await _fail(answer)
            async for line in answer.lines():
                result = parsed(line)
                if result is None or "line" not in result:
                    raise not_the_api(self._access.url, answer.status)
                self._take(result)
        if self._seen < self._file.lines:
            msg = "the API's answer had an end too early"
            raise BrokenOff(msg)

    def _take(self, result: Result) -> None:
        code = result.get("code")
        if code in _FINAL_CODES:
            msg = f"line {result['line']}: {code}: {result['detail']}"
            raise ApiRefused(msg, code=code)
        if code in _PASSING_CODES:
            msg = f"the API stopped ({code})"
            raise BrokenOff(msg)
        if result["line"] > self._seen:  # else it was given before the connection broke
            self._seen = result["line"]
            self._on_result(result)

    async def _pieces(self) -> AsyncIterator[bytes]:
        with self._file.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


async def _fail(answer: Answer) -> None:
    error = refused(answer.status, await answer.body())
    if answer.status in _RETRIED_STATUSES or error.code in _PASSING_CODES:
        raise BrokenOff(str(error))
    raise error


class Rejects:
    """The lines that were rejected, as they were, in a file of their own: corrected, they can be imported by themselves."""

    def __init__(self, source: Path, path: Path) -> None:
        if path.exists() and path.samefile(source):
            raise InvalidInput("--rejects", "must be another file than the one that is imported")
        self._files = ExitStack()
        self._lines: Iterator[bytes] = self._files.enter_context(source.open("rb"))
        # It holds secrets, as the file does that it comes from.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._out: IO[bytes] = self._files.enter_context(os.fdopen(descriptor, "wb"))
        os.fchmod(descriptor, 0o600)

    def take(self, result: Result) -> None:
        """The next line's result."""
        line = next(self._lines, b"")
        if result["status"] == "rejected":
            self._out.write(line if line.endswith(b"\n") else line + b"\n")

    def close(self) -> None:
        """Write what is left."""
        self._files.close()
