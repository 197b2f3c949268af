import os
import stat
from pathlib import Path

import pytest
import structlog

from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.adapters.vault.keyring_file import FileKeyring, create_keyring_file, read_keyring
from tokenkeep.domain.errors import SettingsError, UnknownKey
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret


class HandClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Move a new file into place, as a careful operator does."""
    written = path.with_suffix(".new")
    written.write_text(text)
    written.chmod(mode)
    written.replace(path)


def text_of(*rings: Keyring) -> str:
    return "".join(ring.to_text().reveal() for ring in rings)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_new_keyring_file_is_open_to_its_owner_alone_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ring = create_keyring_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert FileKeyring(path).key_ids == ring.key_ids


def test_an_existing_keyring_file_is_never_overwritten(path: Path) -> None:
    create_keyring_file(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="exists already") as caught:
        create_keyring_file(path)
    assert str(caught.value).startswith("TOKENKEEP_KEYRING_FILE: ")
    assert path.read_bytes() == before


def test_a_dangling_link_is_not_written_through(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="exists already"):
        create_keyring_file(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_keyring_file_that_can_not_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_FILE: .* can't be written: No such file"):
        create_keyring_file(tmp_path / "nowhere" / "keyring")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620, 0o601])
def test_a_keyring_file_open_to_group_or_others_is_refused(path: Path, mode: int) -> None:
    create_keyring_file(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="open to group or others") as caught:
        FileKeyring(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_keyring_file_open_to_its_owner_is_read(path: Path, mode: int) -> None:
    ring = create_keyring_file(path)
    path.chmod(mode)
    assert FileKeyring(path).key_id == ring.current


def read_as(uid: int, groups: list[int], path: Path) -> str:
    """What a process of this user says of the file: its key, or why it does not take it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(groups[0])
            os.setuid(uid)
            said = FileKeyring(path).key_id
        except SettingsError as error:
            said = str(error)
        except BaseException as error:  # noqa: BLE001 - the child must not go on as a second test run
            said = repr(error)
        os.write(tell, said.encode())
        os._exit(0)
    os.close(tell)
    with open(told, encoding="utf-8") as answer:  # noqa: PTH123 - a descriptor, not a path
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give a file away")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "taken"),
    [
        (0, 10001, 0o440, True),  # Kubernetes with fsGroup, chown root:tokenkeep
        (0, 10002, 0o640, True),  # by a supplementary group
        (10001, 10001, 0o400, True),
        (10001, 10001, 0o440, False),  # who owns it can close it
        (10003, 10001, 0o440, False),  # somebody else's, who may change it
        (0, 10001, 0o460, False),
        (0, 10001, 0o450, False),
        (0, 10001, 0o444, False),
    ],
)
def test_what_root_lays_out_for_our_group_is_taken_and_nothing_wider(
    short_dir: Path, owner: int, group: int, mode: int, *, taken: bool
) -> None:
    short_dir.chmod(0o755)
    path = short_dir / "keyring"
    ring = create_keyring_file(path)
    os.chown(path, owner, group)
    path.chmod(mode)

    said = read_as(10001, [10001, 10002], path)

    assert said == ring.current if taken else "is open to group or others" in said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary", b"x" * 70_000, b"k1:tooshort"])
def test_a_file_that_holds_no_keyring_is_refused_by_the_name_of_its_setting(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_FILE: "):
        FileKeyring(path)


def test_a_missing_file_is_told_in_one_line(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_FILE: .* can't be read: No such file"):
        FileKeyring(path)


def test_a_keyring_comes_from_the_text_or_from_the_file(path: Path) -> None:
    ring = create_keyring_file(path)
    assert read_keyring(ring.to_text(), None).key_id == ring.current
    assert read_keyring(None, path).key_id == ring.current


@pytest.mark.parametrize(
    ("text", "file"),
    [(None, None), (Secret("k1:" + "A" * 43), Path("keyring")), (Secret(""), None)],
)
def test_without_one_keyring_nothing_starts(text: Secret | None, file: Path | None) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING: "):
        read_keyring(text, file)


def test_a_changed_file_is_picked_up_within_a_second(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    ring = FileKeyring(path, clock=clock)
    new = Keyring.generate()
    replace_file(path, text_of(new, old))
    clock.seconds += 0.9
    assert ring.key_id == old.current
    clock.seconds += 0.1
    assert ring.key_id == new.current
    assert ring.key_ids == (new.current, old.current)


def test_it_says_when_the_file_was_changed_and_a_text_does_not_know(path: Path) -> None:
    clock = HandClock()
    first = create_keyring_file(path)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    ring = FileKeyring(path, clock=clock)
    assert ring.changed_at == 1_700_000_000
    os.utime(path, (1_800_000_000, 1_800_000_000))
    clock.seconds += 1
    assert ring.changed_at == 1_800_000_000
    assert first.changed_at is None


def test_a_file_edited_in_place_is_picked_up(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    ring = FileKeyring(path, clock=clock)
    new = Keyring.generate()
    path.write_text(text_of(new, old))
    clock.seconds += 1
    assert ring.key_id == new.current


def test_rows_survive_a_rotation_while_the_vault_runs(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    vault = Vault(FileKeyring(path, clock=clock), cached_keys=0)
    owner = new_id()
    key = vault.new_data_key(owner)
    sealed = vault.seal(owner, key, "access_token", (1, 1), b"canary")
    new = Keyring.generate()
    replace_file(path, text_of(new, old))
    clock.seconds += 1
    assert vault.open(owner, key, "access_token", (1, 1), sealed) == b"canary"
    assert vault.new_data_key(owner).key_id == new.current
    assert vault.rewrap(owner, key).key_id == new.current


def test_a_row_of_a_process_that_saw_the_new_key_sooner_opens_at_once(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    late = Vault(FileKeyring(path, clock=clock))
    replace_file(path, text_of(Keyring.generate(), old))
    early = Vault(FileKeyring(path, clock=clock))
    owner = new_id()
    key = early.new_data_key(owner)
    sealed = early.seal(owner, key, "access_token", (1, 1), b"canary")
    assert late.open(owner, key, "access_token", (1, 1), sealed) == b"canary"


def test_a_key_that_is_in_no_file_stays_unknown(path: Path) -> None:
    create_keyring_file(path)
    with pytest.raises(UnknownKey):
        FileKeyring(path).unwrap("k-of-nobody", b"", b"")


@pytest.mark.parametrize(
    ("text", "mode"),
    [("", 0o600), ("k1:canary-that-is-too-short", 0o600), ("k9:" + "A" * 43, 0o644)],
)
def test_a_broken_new_file_keeps_the_old_keys_and_is_logged_once(path: Path, text: str, mode: int) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    ring = FileKeyring(path, clock=clock)
    replace_file(path, text, mode)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            clock.seconds += 1
            assert ring.key_id == old.current
    assert [entry["event"] for entry in logs] == ["keyring_kept"]
    assert logs[0]["log_level"] == "error"
    assert "canary" not in str(logs)


def test_a_file_that_is_mended_by_a_chmod_alone_is_picked_up(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    ring = FileKeyring(path, clock=clock)
    new = Keyring.generate()
    replace_file(path, text_of(new, old), 0o644)
    clock.seconds += 1
    assert ring.key_id == old.current
    path.chmod(0o600)
    clock.seconds += 1
    assert ring.key_id == new.current


def test_a_file_that_vanishes_and_returns_is_picked_up(path: Path) -> None:
    clock = HandClock()
    old = create_keyring_file(path)
    ring = FileKeyring(path, clock=clock)
    path.unlink()
    clock.seconds += 1
    assert ring.key_id == old.current
    new = Keyring.generate()
    replace_file(path, text_of(new, old))
    clock.seconds += 1
    assert ring.key_id == new.current


def test_a_file_keyring_shows_its_ids_only(path: Path) -> None:
    ring = create_keyring_file(path)
    assert repr(FileKeyring(path)) == f"FileKeyring({ring.current})"
