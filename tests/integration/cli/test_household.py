"""A whole `up` as a process of its own, with small scripts in the services' place."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

HOUSEHOLD = """
import sys
from pathlib import Path
from tokenkeep.cli.household import Service, run_household
from tokenkeep.cli.up import welcome
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.settings import Settings

_, data_dir, migration, *services = sys.argv
python = [sys.executable, "-c"]
try:
    run_household(
        Settings(data_dir=Path(data_dir), api_port=0),
        welcome=welcome,
        services=[Service(f"toy{n}", [*python, script, "{pipe}"], ("keyring_file",)) for n, script in enumerate(services)],
        migration=Service("migrate", [*python, migration]),
    )
except TokenkeepError as error:
    sys.exit(str(error))
"""
API = """
import os, sys, http.server
from tokenkeep.adapters.embedded.parent_watch import watch_parent
watch_parent(int(sys.argv[1]), grace_s=1)
class Ready(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
print("api", os.getpid(), "sees a keyring:", "TOKENKEEP_KEYRING_FILE" in os.environ, flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["TOKENKEEP_API_PORT"])), Ready).serve_forever()
"""
MIGRATES = """
import asyncio, asyncpg, os, redis
async def migrate():
    connection = await asyncpg.connect(os.environ["TOKENKEEP_DATABASE_URL"])
    await connection.execute("create table if not exists starts (at timestamptz default now())")
    await connection.execute("insert into starts default values")
    await connection.close()
asyncio.run(migrate())
redis.Redis.from_url(os.environ["TOKENKEEP_REDIS_URL"]).ping()
"""

Up = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def up(short_dir: Path) -> Iterator[Up]:
    short_dir.chmod(0o711)
    started: list[subprocess.Popen[str]] = []

    def start(migration: str = MIGRATES, *services: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOUSEHOLD, str(short_dir / "data"), migration, *(services or (API,))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def read_until(process: "subprocess.Popen[str]", wanted: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if wanted in line:
            return seen
    pytest.fail(f"{wanted!r} never came: {seen}")


def runs_in(process: psutil.Process, name: str, home: str) -> bool:
    """Whether a program of this name has this directory. Another user's does not tell, and one that has ended meanwhile has none."""
    try:
        return bool(process.name() == name and process.cwd() == home)
    except psutil.Error:
        return False


def processes_in(path: Path) -> list[str]:
    """The servers and children that still run on this data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            named = str(path) in " ".join([*process.cmdline(), process.cwd()])
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_all_with_exit_code_0(up: Up, short_dir: Path, number: signal.Signals) -> None:
    process = up()
    seen = read_until(process, "  stop ")
    assert "made a keyring" in seen
    assert "sees a keyring: False" in seen
    assert f'"Authorization: Bearer $(cat {short_dir / "data" / "admin.key"})" http://127.0.0.1:' in seen

    process.send_signal(number)
    rest, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert rest.endswith("stopped\n")
    assert errors == ""
    assert processes_in(short_dir) == []


def test_a_second_up_on_the_same_data_is_refused_in_one_line(up: Up) -> None:
    first = up()
    read_until(first, "  stop ")

    second = up()
    _, errors = second.communicate(timeout=30)

    assert second.returncode == 1
    assert errors.count("\n") == 1
    assert f"is in use by another tokenkeep (process {first.pid})" in errors
    assert first.poll() is None


def test_after_a_kill_its_children_end_and_the_next_up_starts_on_the_kept_data(up: Up, short_dir: Path) -> None:
    first = up()
    seen = read_until(first, "  stop ")
    api = psutil.Process(int(seen.split("api ")[1].split()[0]))

    first.kill()
    first.wait(10)
    psutil.wait_procs([api], timeout=10)
    assert not api.is_running() or api.status() == psutil.STATUS_ZOMBIE

    second = up()
    assert "made a keyring" not in read_until(second, "  stop ")
    second.terminate()
    second.communicate(timeout=30)
    assert second.returncode == 0
    assert processes_in(short_dir) == []


def test_a_service_that_keeps_dying_ends_up_with_its_reason(up: Up, short_dir: Path) -> None:
    process = up("", "import sys; sys.exit('TOKENKEEP_X: is wrong')")
    output, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert output.count("starting it again in") == 4
    assert errors.splitlines()[-1] == (
        "toy0 died 5 times within 60 s and is given up; it last ended with exit code 1: TOKENKEEP_X: is wrong"
    )
    assert processes_in(short_dir) == []


def test_a_failed_migration_ends_up_before_any_service_starts(up: Up, short_dir: Path) -> None:
    process = up("import sys; sys.exit('no such revision')")
    output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (1, "the database can't be migrated: no such revision\n")
    assert "api" not in output
    assert processes_in(short_dir) == []


def test_embedded_servers_that_die_are_started_again(up: Up, short_dir: Path) -> None:
    process = up()
    read_until(process, "  stop ")
    for name, cwd in (("valkey-server", "valkey"), ("postgres", "postgres")):
        home = str(short_dir / "data" / cwd)
        victims = [p for p in psutil.process_iter() if runs_in(p, name, home)]
        os.kill(min(victims, key=lambda p: p.create_time()).pid, signal.SIGKILL)
        read_until(process, "was ended by SIGKILL")

    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert processes_in(short_dir) == []
