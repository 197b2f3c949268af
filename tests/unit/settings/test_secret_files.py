import os
from pathlib import Path

import pytest

from tokenkeep.domain.errors import SettingsError
from tokenkeep.settings import Settings, child_environment, load_settings


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENKEEP_SECRETS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["tokenkeep_database_url", "TOKENKEEP_DATABASE_URL"])
def test_a_file_stands_in_the_place_of_a_variable(secrets: Path, name: str) -> None:
    (secrets / name).write_text("postgresql://u:hush@h/d\n")

    settings = load_settings()

    assert settings.database_url is not None
    assert settings.database_url.reveal() == "postgresql://u:hush@h/d"
    assert "hush" not in repr(settings)


def test_a_variable_goes_before_a_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "tokenkeep_admin_key").write_text("tk_file")
    monkeypatch.setenv("TOKENKEEP_ADMIN_KEY", "tk_variable")

    settings = load_settings()

    assert settings.admin_key is not None
    assert settings.admin_key.reveal() == "tk_variable"


def test_a_keyring_stays_a_file_so_that_a_changed_one_is_picked_up(secrets: Path) -> None:
    (secrets / "tokenkeep_keyring").write_text("k1:hush")

    settings = load_settings()

    assert settings.keyring is None
    assert settings.keyring_file == secrets / "tokenkeep_keyring"


def test_a_keyring_in_a_variable_and_one_in_a_file_exclude_each_other(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "tokenkeep_keyring").write_text("k1:hush")
    monkeypatch.setenv("TOKENKEEP_KEYRING", "k2:hush")

    with pytest.raises(
        SettingsError, match=r"^TOKENKEEP_KEYRING: must not be set together with TOKENKEEP_KEYRING_FILE"
    ):
        load_settings()


def test_a_keyring_and_the_name_of_another_one_in_files_exclude_each_other(secrets: Path) -> None:
    (secrets / "tokenkeep_keyring").write_text("k1:hush")
    (secrets / "tokenkeep_keyring_file").write_text("/another/keyring")

    with pytest.raises(SettingsError, match=r"^tokenkeep_keyring: must not lie beside tokenkeep_keyring_file"):
        load_settings()


def test_an_empty_keyring_is_not_taken_for_none_so_that_nobody_makes_a_new_one(secrets: Path) -> None:
    (secrets / "tokenkeep_keyring").touch()

    assert load_settings().keyring_file == secrets / "tokenkeep_keyring"


def test_files_are_links_to_a_hidden_directory_in_kubernetes(secrets: Path) -> None:
    hidden = secrets / "..2026_11_27"
    hidden.mkdir()
    (hidden / "tokenkeep_redis_url").write_text("redis://h")
    (secrets / "..data").symlink_to(hidden)
    (secrets / "tokenkeep_redis_url").symlink_to("..data/tokenkeep_redis_url")

    settings = load_settings()

    assert settings.redis_url is not None
    assert settings.redis_url.reveal() == "redis://h"


def test_an_empty_file_counts_as_not_set_and_other_files_are_nobody_s_business(secrets: Path) -> None:
    (secrets / "tokenkeep_admin_key").write_text("\n")
    (secrets / "postgres_password").write_bytes(b"\xff\xfe")
    (secrets / "tokenkeep_secrets_dir").write_text("/nowhere")

    settings = load_settings()

    assert settings.admin_key is None
    assert settings.secrets_dir == secrets


def test_a_misspelt_file_is_warned_of(secrets: Path, caplog: pytest.LogCaptureFixture) -> None:
    (secrets / "tokenkeep_databse_url").write_text("postgresql://u:hush@h/d")

    load_settings()

    assert caplog.messages == ["tokenkeep_databse_url: there is no such setting; did you mean TOKENKEEP_DATABASE_URL?"]


@pytest.mark.parametrize("content", [b"\xff\xfehush", b"hush" * 20_000])
def test_what_is_no_short_text_is_refused_by_its_path(secrets: Path, content: bytes) -> None:
    path = secrets / "tokenkeep_admin_key"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value) == f"TOKENKEEP_SECRETS_DIR: {path} is not a text of at most 64 KB"
    assert raised.value.__context__ is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; tests/integration/deploy sees it as uid 10001")
def test_a_file_of_somebody_else_s_is_told_in_one_line(secrets: Path) -> None:
    path = secrets / "tokenkeep_admin_key"
    path.write_text("tk_hush")
    path.chmod(0)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value) == f"TOKENKEEP_SECRETS_DIR: {path} can't be read: Permission denied"


def test_a_wrong_value_in_a_file_is_told_by_the_name_of_its_variable(secrets: Path) -> None:
    (secrets / "tokenkeep_database_url").write_text("mysql://u:hush@h/d")

    with pytest.raises(SettingsError) as raised:
        load_settings()

    expected = "TOKENKEEP_DATABASE_URL: must be a URL that begins with postgresql:// or postgres://"
    assert str(raised.value) == expected


def test_a_directory_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENKEEP_SECRETS_DIR", "/nowhere/at/all")

    with pytest.raises(SettingsError, match=r"^TOKENKEEP_SECRETS_DIR: must be a directory that exists$"):
        load_settings()


def test_a_child_is_not_told_where_the_files_lie(secrets: Path) -> None:
    (secrets / "tokenkeep_database_url").write_text("postgresql://h/d")
    (secrets / "tokenkeep_keyring").write_text("k1:hush")

    environment = child_environment(Settings(), without=["keyring", "keyring_file"])

    assert environment["TOKENKEEP_DATABASE_URL"] == "postgresql://h/d"
    assert "TOKENKEEP_SECRETS_DIR" not in environment
    assert str(secrets) not in "".join(environment.values())
