"""What a host says of itself, and a disk that says nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tokenkeep.adapters.host_facts import aside, read_spool_facts

_HANGS = """
import asyncio, contextlib, threading
from tokenkeep.adapters.host_facts import aside

async def look():
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await aside(threading.Event().wait)
    print("given up")

asyncio.run(look())
"""


def test_a_look_that_hangs_keeps_the_process_from_nothing() -> None:
    seen = subprocess.run([sys.executable, "-c", _HANGS], capture_output=True, text=True, check=True, timeout=60)

    assert (seen.stdout, seen.stderr) == ("given up\n", "")


async def test_what_a_look_raises_is_raised_where_it_is_waited_for() -> None:
    assert await aside(lambda: 4711) == 4711
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 / 0)


def test_a_spool_that_is_not_made_yet_is_judged_by_where_it_will_be(tmp_path: Path) -> None:
    facts = read_spool_facts(tmp_path / "data" / "spool")

    assert (facts.failure, facts.mode, facts.waiting) == (None, None, 0)
    assert facts.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_spool_below_a_file_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    assert "is not a directory" in str(read_spool_facts(tmp_path / "data" / "spool").failure)
