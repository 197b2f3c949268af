"""A directory of sealed credentials."""

import os
import stat
from pathlib import Path
from uuid import UUID

import pytest

from tokenkeep.adapters.credential_stores.directory import DirectoryStore
from tokenkeep.domain.credential_store import KeptName
from tokenkeep.domain.errors import NotStored

NAME = "3d4/0193e1a4c1c07d0f8f3c7be4a1b2c3d4.1.2.3.0193e1a4c1c07d0f8f3c7be4a1b2c3d5"


async def test_files_and_directories_are_for_this_user_alone(tmp_path: Path) -> None:
    await DirectoryStore(tmp_path).put(NAME, b"sealed")
    path = tmp_path / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [it.name for it in path.parent.iterdir()] == [path.name]


async def test_a_directory_that_is_not_there_is_not_made_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    away = tmp_path / "away"
    store = DirectoryStore(away)
    with pytest.raises(FileNotFoundError):
        await store.put(NAME, b"sealed")
    with pytest.raises(FileNotFoundError):
        await store.get(NAME)
    assert [name async for name in store.names()] == []
    assert not away.exists()


async def test_a_directory_that_comes_back_is_written_to_again(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    store = DirectoryStore(home)
    await store.put(NAME, b"sealed")
    home.rename(away)
    home.mkdir()
    with pytest.raises(NotStored):
        await store.get(NAME)
    await store.put(NAME, b"sealed")
    assert await store.get(NAME) == b"sealed"


async def test_what_was_being_written_in_a_crash_is_nobodys_and_is_cleared_away_in_time(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await store.put(NAME, b"sealed")
    shard = (tmp_path / NAME).parent
    young, old = shard / "young.1.tmp", shard / "old.1.tmp"
    young.touch()
    old.touch()
    os.utime(old, (0, 0))
    assert [name async for name in store.names()] == [NAME]
    assert (young.exists(), old.exists()) == (True, False)


def test_a_name_says_which_version_of_whose_credentials_it_is() -> None:
    account = UUID("0193e1a4c1c07d0f8f3c7be4a1b2c3d4")
    name = KeptName.new(account, epoch=1, generation=12, fence=123)
    assert str(name).startswith("3d4/0193e1a4c1c07d0f8f3c7be4a1b2c3d4.1.12.123.")
    assert KeptName.parse(str(name)) == name
    assert KeptName.new(account, epoch=1, generation=12, fence=123) != name


@pytest.mark.parametrize("text", ["", "3d4/x", "notes.txt", f"{NAME}.tmp", NAME.replace(".1.", ".-1."), f"../{NAME}"])
def test_what_is_no_name_of_ours_is_left_alone(text: str) -> None:
    assert KeptName.parse(text) is None
