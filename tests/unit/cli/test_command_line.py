import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokenkeep import __version__
from tokenkeep.adapters.vault.keyring_file import FileKeyring
from tokenkeep.cli.first_start import make_belongings, make_data_dir
from tokenkeep.cli.main import app
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings


def test_version_is_shown() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.stdout) == (0, f"tokenkeep {__version__}\n")


@pytest.mark.parametrize("command", ["up", "api", "scheduler", "worker", "migrate"])
def test_a_wrong_setting_ends_every_process_with_one_line(command: str) -> None:
    result = CliRunner().invoke(app, [command], env={"TOKENKEEP_API_PORT": "x"})

    assert result.exit_code == 1
    assert result.stderr == "TOKENKEEP_API_PORT: must be a whole number from 0 to 65535\n"


def test_a_generated_keyring_is_printed_or_written_for_its_owner_only(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["keys", "generate"])
    written = CliRunner().invoke(app, ["keys", "generate", "--output", str(tmp_path / "keyring")])
    again = CliRunner().invoke(app, ["keys", "generate", "--output", str(tmp_path / "keyring")])

    assert printed.stdout.count("\n") == 1
    assert written.exit_code == 0
    assert stat.S_IMODE((tmp_path / "keyring").stat().st_mode) == 0o600
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)


def test_the_first_start_makes_what_is_missing_and_later_ones_keep_it(tmp_path: Path) -> None:
    data_dir = make_data_dir(Settings(data_dir=tmp_path / "data"))

    first = make_belongings(Settings(), data_dir)
    second = make_belongings(Settings(), data_dir)

    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert len(first.made) == 2
    assert second.made == ()
    assert first.settings == second.settings
    assert first.settings.admin_key is not None
    assert first.settings.admin_key.reveal().startswith("tk_")
    assert first.settings.keyring_file is not None
    assert FileKeyring(first.settings.keyring_file).key_ids
    for name in ("keyring", "admin.key"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600


def test_what_is_set_is_not_made(tmp_path: Path) -> None:
    settings = Settings(admin_key=Secret("tk_mine"), keyring=Secret("k1:key"))

    belongings = make_belongings(settings, tmp_path)

    assert (belongings.made, belongings.admin_key_file, list(tmp_path.iterdir())) == ((), None, [])


def test_a_lost_keyring_is_not_replaced_while_there_is_data(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()

    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_FILE: .*keyring is gone"):
        make_belongings(Settings(), tmp_path)
