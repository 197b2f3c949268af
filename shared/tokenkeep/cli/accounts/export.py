"""Accounts as NDJSON, with their credentials if they are asked for."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from tokenkeep.cli.accounts.api import AccountsApi
from tokenkeep.cli.http_api.failure import ApiRefused

_CONFLICT = 409
_NOT_FOUND = 404
_UNAVAILABLE = 503


def exported(api: AccountsApi, query: Mapping[str, str], *, with_credentials: bool) -> Iterator[dict[str, Any]]:
    """Account after account. One that has no credentials to give says in `credentials_missing` why, by a problem's code.

    One that is deleted meanwhile is left out.
    """
    for account in api.accounts(query):
        if not with_credentials:
            yield account
            continue
        try:
            yield api.with_credentials(account["id"])
        except ApiRefused as refusal:
            if refusal.status == _NOT_FOUND:
                continue
            if refusal.status not in {_CONFLICT, _UNAVAILABLE} or refusal.code is None:
                raise
            yield {**account, "credentials": None, "credentials_missing": refusal.code}


def write_lines(accounts: Iterable[Mapping[str, Any]], out: IO[bytes]) -> int:
    """Write them, one a line; how many they were."""
    count = 0
    for account in accounts:
        out.write(orjson.dumps(account, option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    out.flush()
    return count


@contextmanager
def opened(path: Path | None) -> Iterator[IO[bytes]]:
    """The file, for its owner's eyes only; stdout if there is none."""
    if path is None:
        yield sys.stdout.buffer
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        yield file
