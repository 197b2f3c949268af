"""A hundred thousand lines through a real API process."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from api_process import api_process
from api_service import ADMIN_KEY, Service
from databases import migrated_database
from imports import a_line
from tokenkeep.cli.accounts.import_file import FileImport, ImportFile, Result
from tokenkeep.cli.http_api.access import Access
from tokenkeep.domain.secret import Secret

LINES = 100_000
MOST_GROWTH = 96 * 1024 * 1024
"""Above what the process had before; 26 MiB were measured. All of the lines as Python's objects would have some 300."""


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> str:
    """A database of this file's own, for other tests need not carry its hundred thousand accounts."""
    return migrated_database(postgres_url, "of_a_large_import")


def high_water(pid: int) -> int:
    """The most memory that a process has had so far: the kernel keeps the mark itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's high-water mark is read from /proc")
async def test_a_hundred_thousand_lines_go_through_in_bounded_memory(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "accounts.ndjson"
    with path.open("wb") as file:
        file.writelines(a_line(f"n{number}") for number in range(LINES))
    source_id = await service.source("https://93.184.215.14/token")
    created = 0

    def note(result: Result) -> None:
        nonlocal created
        assert result["status"] == "created", json.dumps(result)
        created += 1

    async with api_process(service, tmp_path) as api:
        access = Access(api.url, Secret(ADMIN_KEY), service.environment)

        async def run(file: ImportFile) -> None:
            importing = FileImport(file, access, source_id=source_id, key=file.key(None), on_result=note, say=print)
            await importing.run()

        few = tmp_path / "few.ndjson"
        few.write_bytes(b"".join(a_line(f"few{number}") for number in range(1_000)))
        await run(await asyncio.to_thread(ImportFile.look_at, few))
        before = high_water(api.process.pid)
        await run(await asyncio.to_thread(ImportFile.look_at, path))
        growth = high_water(api.process.pid) - before
    assert created == LINES + 1_000
    assert growth < MOST_GROWTH
