"""Prometheus is fetched by apt; that no mirror answers is nobody's fault, and that it is not there is ours."""

import shutil
from pathlib import Path

import pytest

from household import a_free_port
from prometheus import Missing, fetch


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only list of sources that apt reads."""
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not here")
    path = tmp_path / "sources.list"
    path.touch()
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::Etc::sourcelist "{path}";\nDir::Etc::sourceparts "-";\nAcquire::Retries "0";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    return path


def missing(tmp_path: Path) -> Missing:
    found = fetch(tmp_path / "prometheus")
    assert isinstance(found, Missing)
    assert found.why
    return found


def test_a_machine_without_apt_can_not_help_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not missing(tmp_path).a_fault


@pytest.mark.usefixtures("sources")
def test_a_machine_whose_apt_has_no_sources_can_not_help_it(tmp_path: Path) -> None:
    assert not missing(tmp_path).a_fault


def test_a_mirror_that_does_not_answer_is_no_fault(tmp_path: Path, sources: Path) -> None:
    sources.write_text(f"deb [trusted=yes] http://127.0.0.1:{a_free_port()}/debian stable main\n")
    assert not missing(tmp_path).a_fault


def test_a_mirror_that_answers_and_has_no_prometheus_is_one(tmp_path: Path, sources: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "Packages").write_text(
        "Package: other\nVersion: 1\nArchitecture: all\nFilename: ./other.deb\nSize: 1\nSHA256: " + "0" * 64 + "\n\n"
    )
    sources.write_text(f"deb [trusted=yes] file:{mirror} ./\n")
    assert missing(tmp_path).a_fault
