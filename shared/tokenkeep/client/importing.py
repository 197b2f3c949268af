"""Imports in pieces: each is a request of its own, whose results come when it was sent whole."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

from tokenkeep.client.answers.accounts import ImportResult
from tokenkeep.client.api_wire import Reply, parsed
from tokenkeep.client.asking import Ask
from tokenkeep.client.calls import IDEMPOTENCY_HEADER, key_or_new
from tokenkeep.client.effects import Call
from tokenkeep.client.errors import Unreachable
from tokenkeep.client.reading import read

MOST_LINES = 250
"""The server works at so many at once. Were there more in a request, it would wait for a client that sends before it reads."""

_MOST_BYTES = 1024 * 1024
_NDJSON = "application/x-ndjson"
_PATH = "/v1/accounts/import"


def import_calls(
    accounts: Iterable[Mapping[str, Any]], source_id: str | None, idempotency_key: str | None
) -> Iterator[tuple[int, Ask[list[ImportResult]]]]:
    """The requests of an import, each with the number of its first line."""
    key, first_line = key_or_new(idempotency_key), 1
    for number, lines in zip(count(1), _pieces(accounts), strict=False):
        headers = {IDEMPOTENCY_HEADER: f"{key}.{number}", "Content-Type": _NDJSON, "Accept": _NDJSON}
        call = Call("POST", _PATH, {"source_id": source_id}, content=b"".join(lines), headers=headers)
        yield first_line, Ask(call, _results_of(len(lines)), repeatable=True)
        first_line += len(lines)


def import_results(results: Iterable[ImportResult], first_line: int) -> Iterator[ImportResult]:
    """The results of one request, counted as lines of the whole."""
    return (replace(it, line=it.line + first_line - 1) for it in results)


def _pieces(accounts: Iterable[Mapping[str, Any]]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for account in accounts:
        line = json.dumps(account, default=_as_text, ensure_ascii=False).encode() + b"\n"
        if lines and (len(lines) == MOST_LINES or size + len(line) > _MOST_BYTES):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield lines


def _as_text(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise TypeError(f"an account holds what JSON has, and times with a zone; not {type(value).__name__}")


def _results_of(lines: int) -> Callable[[Reply], list[ImportResult]]:
    def results(reply: Reply) -> list[ImportResult]:
        found = [read(ImportResult, parsed(line)) for line in reply.body.splitlines()]
        if len(found) != lines:
            # Cut short; the same request again gives what is missing.
            raise Unreachable("the answer was cut short")
        return found

    return results
