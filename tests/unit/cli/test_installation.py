"""What `tokenkeep up` has in its data directory stands in for what the settings do not name, and for nothing else."""

from pathlib import Path

from tokenkeep.adapters.vault.keyring_file import create_keyring_file
from tokenkeep.cli.installation import installation_of
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings


def test_a_keyring_of_the_data_directory_is_taken_where_none_is_named(tmp_path: Path) -> None:
    create_keyring_file(tmp_path / "keyring")
    unnamed = Settings.model_construct(data_dir=tmp_path)

    assert installation_of(unnamed).keyring_file == tmp_path / "keyring"
    for named in ({"keyring": Secret("k:v")}, {"keyring_file": tmp_path / "other"}):
        settings = unnamed.model_copy(update=named)
        assert installation_of(settings) == settings


def test_servers_that_do_not_run_are_not_made_up(tmp_path: Path) -> None:
    settings = Settings.model_construct(data_dir=tmp_path)

    found = installation_of(settings)

    assert (found.database_url, found.redis_url, found.keyring_file) == (None, None, None)
    assert list(tmp_path.iterdir()) == []
