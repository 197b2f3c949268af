"""A client that imports: it sends and reads at the same time, and costs the machine as little as it can."""

import asyncio
from urllib.parse import urlsplit

import orjson

from tokenkeep.domain.secret import Secret

_CHUNK_LINES = 200
_READ = 256 * 1024
_ACCESS_LENGTH = 180
"""So long are opaque access tokens of the large providers."""


def lines(first: int, count: int) -> list[bytes]:
    """So many accounts in chunks of NDJSON, each with a grant of its own."""
    chunks = []
    for start in range(first, first + count, _CHUNK_LINES):
        numbers = range(start, min(start + _CHUNK_LINES, first + count))
        chunks.append(b"".join(orjson.dumps(_account(number), option=orjson.OPT_APPEND_NEWLINE) for number in numbers))
    return chunks


def _account(number: int) -> dict[str, object]:
    return {
        "external_id": f"user-{number}",
        "metadata": {"tenant": f"tenant-{number % 1000}"},
        "credentials": {
            "access_token": f"access-{number}-".ljust(_ACCESS_LENGTH, "x"),
            "refresh_token": f"refresh-{number}-".ljust(_ACCESS_LENGTH // 2, "y"),
            "expires_in": 3600,
            "scopes": ["read", "write"],
        },
    }


async def import_accounts(url: str, key: Secret, source: str, environment: str, chunks: list[bytes]) -> int:
    """Import these; returns how many accounts were created.

    Raises:
        RuntimeError: The API refused the import, or its answer was cut short.
    """
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    head = (
        f"POST /v1/accounts/import?source_id={source} HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n"
        f"Authorization: Bearer {key.reveal()}\r\nX-Tokenkeep-Environment: {environment}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def send() -> None:
        writer.write(head.encode())
        for chunk in chunks:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            answer = bytearray()
            while piece := await reader.read(_READ):
                answer += piece
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"0\r\n\r\n"):
        msg = f"the import was refused or cut short: {bytes(answer[:300])!r}"
        raise RuntimeError(msg)
    return answer.count(b'"status":"created"')
