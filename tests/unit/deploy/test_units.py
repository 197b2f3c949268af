"""The units for systemd, by systemd-analyze and by what they promise."""

import sys
from pathlib import Path

import pytest

from deployment import DEPLOY, PROCESSES, need_program, said_by, unit

UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.service"))
MOST_EXPOSED = "20"
"""Of 100; what a service that speaks to the network is left with."""


def test_there_is_one_for_each_command() -> None:
    assert sorted(f"tokenkeep-{name}.service" for name in (*PROCESSES, "migrate")) == UNITS
    for name in (*PROCESSES, "migrate"):
        assert unit(f"tokenkeep-{name}.service")["ExecStart"] == [f"/opt/tokenkeep/bin/tokenkeep {name}"]
        assert f"tokenkeep-{name}.service" in unit("tokenkeep.target")["Wants"][0].split()


def test_systemd_understands_all_of_it(tmp_path: Path) -> None:
    analyze = need_program("systemd-analyze")
    for path in (DEPLOY / "systemd").iterdir():
        # It looks whether the program is there.
        text = path.read_text(encoding="utf-8").replace("/opt/tokenkeep/bin/tokenkeep", sys.executable)
        (tmp_path / path.name).write_text(text)
    units = [tmp_path / name for name in (*UNITS, "tokenkeep.target")]
    assert said_by(analyze, "verify", "--man=no", *units) == ""


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_little_that_a_process_could_do_besides(name: str) -> None:
    analyze = need_program("systemd-analyze")
    assert (
        said_by(analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", DEPLOY / "systemd" / name) == ""
    )


@pytest.mark.parametrize("name", UNITS)
def test_secrets_come_as_credentials_and_schedulers_have_no_keyring(name: str) -> None:
    it = unit(name)
    given = {value.split(":")[0] for value in it["LoadCredential"]}
    opening = name in {"tokenkeep-api.service", "tokenkeep-worker.service"}
    assert ("tokenkeep_keyring" in given) is opening
    assert ("tokenkeep_redis_url" in given) is (name != "tokenkeep-migrate.service")
    assert "tokenkeep_database_url" in given
    assert any("TOKENKEEP_SECRETS_DIR=%d" in line.split() for line in it["Environment"])
    assert it["User"] == ["tokenkeep"]


def test_the_spool_outlives_a_worker_and_a_process_that_fails_comes_back() -> None:
    assert unit("tokenkeep-worker.service")["StateDirectory"] == ["tokenkeep"]
    for name in UNITS:
        assert unit(name)["Restart"] == ["on-failure"]
        assert unit(name)["StartLimitIntervalSec"] == ["0"]
