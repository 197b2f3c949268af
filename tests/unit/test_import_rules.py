"""Each rule of who may import whom is broken once on purpose: the check must see it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
BREACHES = {
    "layers": ("shared/tokenkeep/domain/breach.py", "import tokenkeep.application.sealing"),
    "no room besides": ("shared/tokenkeep/utils.py", ""),
    "services-apart": ("services/tokenkeep_worker/breach.py", "import tokenkeep_scheduler.main"),
    "library-apart": ("shared/tokenkeep/application/breach.py", "import tokenkeep_worker.actors"),
    "pure": ("shared/tokenkeep/application/breach.py", "import sqlalchemy"),
    "client-apart": ("shared/tokenkeep/client/breach.py", "import tokenkeep.application.sealing"),
    "clock-only-in-the-scheduler": ("shared/tokenkeep/adapters/postgres/breach.py", "import apscheduler"),
    "queue-only-in-the-worker": ("shared/tokenkeep/adapters/postgres/breach.py", "import dramatiq"),
    "traces-in-their-room": ("services/tokenkeep_worker/breach.py", "import opentelemetry.trace"),
    "scheduler-cannot-decrypt": ("services/tokenkeep_scheduler/breach.py", "import tokenkeep.adapters.vault.envelope"),
    "only-the-worker-refreshes": ("services/tokenkeep_api/breach.py", "import tokenkeep.application.refresh_accounts"),
}


def check(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    rooms = os.pathsep.join(str(tree / room) for room in ("shared", "services", "deploy"))
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-cache",
        "--config",
        str(tree / "pyproject.toml"),
    ]
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    environment = {**os.environ, "PYTHONPATH": rooms}
    return subprocess.run(
        [*command, *chosen], cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house to break things in."""
    copy = tmp_path_factory.mktemp("house")
    for room in ("shared", "services", "deploy"):
        shutil.copytree(HOUSE / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOUSE / "pyproject.toml", copy)
    return copy


def test_the_house_keeps_its_rules(tree: Path) -> None:
    done = check(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_each_rule_is_seen(tree: Path, name: str) -> None:
    place, line = BREACHES[name]
    breach = tree / place
    breach.write_text(f'"""A breach."""\n{line}\n')
    try:
        done = check(tree, name if name != "no room besides" else "layers")
    finally:
        breach.unlink()
    assert done.returncode == 1, done.stdout
    assert "breach" in done.stdout or "utils" in done.stdout
