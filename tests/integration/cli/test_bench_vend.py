"""`tokenkeep bench vend` reads tokens of the real API, and loses sight of none of its reads."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from tokenkeep.cli.bench.vend.load import Target, drive

_FIGURES = ("rps", "hello_rps", "naive_rps", "ratio_to_hello", "ratio_to_naive", "p50_ms", "p99_ms")


async def test_it_prints_reads_beside_the_bare_server_and_a_reference() -> None:
    command = [sys.executable, "-m", "tokenkeep", "bench", "vend", "--json", "--accounts", "100", "--seconds", "1"]
    # It has an installation of its own, whatever the variables of whoever calls it say.
    environment = {**os.environ, "TOKENKEEP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)["vend"]
    assert all(figures[name] > 0 for name in _FIGURES), figures
    assert figures["p50_ms"] <= figures["p99_ms"]
    assert figures["ratio_to_hello"] == pytest.approx(figures["rps"] / figures["hello_rps"], abs=0.001)
    assert figures["random"].keys() == figures["hot"].keys() == {"1", "16", "64", "256"}
    # It fails unless each answer held a token and each read is in the audit trail; rows are fewer, for reads are counted.
    assert figures["reads"] > figures["audit_rows"] > 0


async def test_load_that_is_answered_wrongly_gives_no_figures() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = Target(f"http://127.0.0.1:{port}", "tk_none", "token")
        with pytest.raises(RuntimeError, match="answers that were not"):
            await drive(target, ["acc_1"], connections=1, seconds=1.0)
