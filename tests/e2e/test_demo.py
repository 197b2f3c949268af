"""`tokenkeep demo` as its users run it: every process real, the provider included."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

Demo = Callable[..., "subprocess.Popen[str]"]

SHORT = ("--accounts", "3", "--token-lifetime", "4", "--revoke-every", "4")


@pytest.fixture
def demo(short_dir: Path) -> Iterator[Demo]:
    short_dir.chmod(0o711)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tokenkeep", "demo", *SHORT, *words],
            env={**os.environ, "TOKENKEEP_DATA_DIR": str(short_dir / "data")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=40)


def processes_in(path: Path) -> list[str]:
    """What still runs on this data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            named = str(path) in " ".join([*process.cmdline(), process.cwd()])
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
        except psutil.Error:
            continue
    return found


def test_it_shows_refreshes_a_revocation_and_what_the_subscriber_heard_of_it_and_ends_by_itself(
    demo: Demo, short_dir: Path
) -> None:
    process = demo("--plain", "--for", "40")
    output, _ = process.communicate(timeout=150)

    assert process.returncode == 0, output
    assert re.search(r"admin key  .*/data/demo/admin\.key\n", output)
    assert 'curl -s -H "Authorization: Bearer $(cat ' in output
    assert len(re.findall(r"(alice|bob|carol) connected an account", output)) == 3
    assert re.search(r"tokenkeep\.account\.refreshed \w+ generation 2", output)
    victim = re.search(r"the provider revoked (\w+)'s grant", output)
    assert victim is not None, output
    assert re.search(rf"tokenkeep\.account\.disabled {victim[1]} \(revoked\)", output), output
    assert "the most often that any refresh token was presented: 1\n" in output
    assert "Traceback" not in output
    assert [path.name for path in (short_dir / "data").iterdir()] == ["demo"]
    assert processes_in(short_dir) == []


def test_ctrl_c_ends_it_all_and_the_next_run_starts_with_accounts_of_its_own(demo: Demo, short_dir: Path) -> None:
    for _ in range(2):
        process = demo("--plain")
        seen = ""
        assert process.stdout is not None
        for line in process.stdout:
            seen += line
            if "tokenkeep.account.refreshed" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=40)

        assert process.returncode == 0, seen + rest
        assert "3 accounts were connected" in rest
        assert rest.endswith("stopped\n")
        assert (seen + rest).count("tokenkeep.account.created") == 3
        assert processes_in(short_dir) == []
