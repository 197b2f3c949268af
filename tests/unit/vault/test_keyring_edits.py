"""A keyring's file is changed as a whole, and keeps what was in it: comments, mode, the order of the others."""

import stat
from pathlib import Path

import pytest

from tokenkeep.adapters.vault.keyring import Keyring, new_entry
from tokenkeep.adapters.vault.keyring_edits import add_key, put_first, remove_key
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

RINGS = [Keyring.generate() for _ in range(3)]
IDS = [ring.current for ring in RINGS]
ENTRIES = [ring.to_text().reveal().strip() for ring in RINGS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keyring"
    path.write_text(f"# ours\n{ENTRIES[0]}  # the first\n{ENTRIES[1]}, {ENTRIES[2]} # two\n")
    path.chmod(0o400)
    return path


def ids(path: Path) -> tuple[str, ...]:
    return Keyring.parse(Secret(path.read_text())).key_ids


def test_a_new_key_comes_last_and_nothing_is_wrapped_by_it_yet(path: Path) -> None:
    ring, entry = new_entry()
    add_key(path, entry)
    assert ids(path) == (*IDS, ring.current)
    text = path.read_text()
    assert text.startswith(f"# ours\n{ENTRIES[0]}  # the first\n")
    assert "# two\n" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert list(path.parent.iterdir()) == [path]


def test_a_new_key_may_be_the_current_one_at_once(path: Path) -> None:
    ring, entry = new_entry()
    add_key(path, entry, first=True)
    assert ids(path) == (ring.current, *IDS)
    assert path.read_text().startswith("# ours\n")


def test_a_key_becomes_the_current_one_and_the_others_stay(path: Path) -> None:
    assert put_first(path, IDS[2])
    assert ids(path) == (IDS[2], IDS[0], IDS[1])
    before = path.stat().st_ino
    assert not put_first(path, IDS[2])
    assert path.stat().st_ino == before


def test_a_key_is_removed_but_never_the_current_one(path: Path) -> None:
    remove_key(path, IDS[1])
    assert ids(path) == (IDS[0], IDS[2])
    with pytest.raises(SettingsError, match="is the current key"):
        remove_key(path, IDS[0])
    assert ids(path) == (IDS[0], IDS[2])


@pytest.mark.parametrize("change", [put_first, remove_key])
def test_a_key_that_is_not_there_is_not_quoted(path: Path, change: object) -> None:
    assert callable(change)
    with pytest.raises(SettingsError) as caught:
        change(path, "canary")
    assert "canary" not in str(caught.value)


def test_the_same_id_is_never_there_twice(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="id of an earlier entry"):
        add_key(path, Secret(ENTRIES[1]))
    assert path.read_bytes() == before


def test_a_name_that_leads_elsewhere_goes_on_doing_so(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path.name)
    put_first(link, IDS[1])
    assert link.is_symlink()
    assert ids(path)[0] == IDS[1]


def test_a_file_that_is_no_keyring_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("not a keyring\n")
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        add_key(path, new_entry()[1])
    assert path.read_text() == "not a keyring\n"
