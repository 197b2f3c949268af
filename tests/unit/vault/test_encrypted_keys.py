"""Keys that a key service has encrypted: asked for once, kept in memory, and missed by nobody while the service is away."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from tokenkeep.adapters.vault.aead import Aead
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.key_opener import KeyOpener, patiently
from tokenkeep.adapters.vault.keyring import Keyring, new_entry, read_entries
from tokenkeep.adapters.vault.keyring_file import FileKeyring, read_keyring
from tokenkeep.domain.errors import KeyServiceError, KeyServiceUnavailable, SettingsError, VaultError
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret


@dataclass
class MemoryService:
    """A key service in memory."""

    kind: str = "aws-kms"
    cipher: Aead = field(default_factory=lambda: Aead(bytes(32)))
    away: bool = False
    asked: int = 0

    def encrypt(self, key: bytes, key_id: str) -> bytes:
        return self.cipher.seal(key, key_id.encode())

    def decrypt(self, encrypted: bytes, key_id: str) -> bytes:
        self.asked += 1
        if self.away:
            raise KeyServiceUnavailable(self.kind, "away")
        try:
            return self.cipher.open(encrypted, key_id.encode())
        except VaultError:
            raise KeyServiceError(self.kind, "refused") from None


@dataclass
class HandClock:
    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


def put(path: Path, *entries: Secret) -> None:
    written = path.with_suffix(".new")
    written.write_text("".join(f"{entry.reveal()}\n" for entry in entries))
    written.chmod(0o600)
    written.replace(path)


def test_an_encrypted_entry_holds_no_key_and_opens_to_the_same_one(service: MemoryService) -> None:
    ring, entry = new_entry(service)
    assert entry.reveal().startswith(f"{ring.current}:aws-kms:")
    assert ring.to_text().reveal().partition(":")[2].strip() not in entry.reveal()
    owner = new_id()
    key = Vault(ring).new_data_key(owner)
    opened = Keyring.parse(entry, open_key=KeyOpener([service]))
    ciphertext = Vault(ring).seal(owner, key, "field", (1, 1), b"text")
    assert Vault(opened).open(owner, key, "field", (1, 1), ciphertext) == b"text"


def test_keys_in_the_clear_and_encrypted_ones_stand_in_one_keyring(service: MemoryService) -> None:
    _, encrypted = new_entry(service)
    _, clear = new_entry()
    text = Secret(f"{encrypted.reveal()}, {clear.reveal()}")
    ring = Keyring.parse(text, open_key=KeyOpener([service]))
    assert ring.key_ids == tuple(entry.key_id for entry in read_entries(text))
    assert service.asked == 1


def test_each_key_is_asked_for_once_however_often_the_keyring_is_read(service: MemoryService) -> None:
    entries = [new_entry(service)[1] for _ in range(3)]
    opener = KeyOpener([service])
    for _ in range(5):
        Keyring.parse(Secret("\n".join(entry.reveal() for entry in entries)), open_key=opener)
    assert service.asked == 3


def test_an_entry_of_a_service_that_is_not_set_names_the_setting(service: MemoryService) -> None:
    _, entry = new_entry(service)
    with pytest.raises(
        SettingsError, match=r"^TOKENKEEP_KEYRING: entry 1 is encrypted by aws-kms; set TOKENKEEP_KEYRING_KMS$"
    ):
        Keyring.parse(entry)
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_KMS: entry 1 "):
        read_keyring(entry, None, KeyOpener([MemoryService("gcp-kms")]))


@pytest.mark.parametrize("material", ["A", "AAAAA", "AAAAAAAAA"])
def test_an_entry_that_is_no_base64_is_told_by_its_number(service: MemoryService, material: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING: entry 1 does not hold a key"):
        read_keyring(Secret(f"k1:aws-kms:{material}"), None, KeyOpener([service]))


def test_an_entry_under_another_id_is_refused(service: MemoryService) -> None:
    _, entry = new_entry(service)
    renamed = Secret("mine:" + entry.reveal().partition(":")[2])
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_KMS: aws-kms: refused$"):
        read_keyring(renamed, None, KeyOpener([service]))


def test_a_start_waits_for_a_service_that_is_away_and_gives_up_in_time() -> None:
    clock, tries = HandClock(), []

    def read() -> str:
        tries.append(clock.seconds)
        if len(tries) < 4:
            raise KeyServiceUnavailable("aws-kms", "away")
        return "the keyring"

    def sleep(seconds: float) -> None:
        clock.seconds += seconds

    assert patiently(read, clock=clock, sleep=sleep) == "the keyring"
    assert tries == [1000, 1001, 1002, 1003]

    def never() -> str:
        raise KeyServiceUnavailable("aws-kms", "away")

    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_KMS: aws-kms: away; tried for 30 s$"):
        patiently(never, clock=clock, sleep=sleep)
    assert clock.seconds == 1033


def test_a_new_encrypted_key_in_the_file_is_opened_beside_and_taken_then(
    service: MemoryService, tmp_path: Path
) -> None:
    path, clock = tmp_path / "keyring", HandClock()
    old, first = new_entry(service)
    put(path, first)
    ring = FileKeyring(path, clock=clock, open_key=KeyOpener([service]))
    new, second = new_entry(service)
    put(path, second, first)
    clock.seconds += 2
    ring.ring()
    assert ring._opening is not None
    ring._opening.join(10)
    assert ring.key_ids == (new.current, old.current)
    assert service.asked == 2


def test_keys_that_are_known_serve_while_the_service_is_away(service: MemoryService, tmp_path: Path) -> None:
    path, clock = tmp_path / "keyring", HandClock()
    old, first = new_entry(service)
    put(path, first)
    ring = FileKeyring(path, clock=clock, open_key=KeyOpener([service]))
    service.away = True
    new, second = new_entry(service)
    put(path, second, first)
    with structlog.testing.capture_logs() as log:
        clock.seconds += 2
        ring.ring()
        assert ring._opening is not None
        ring._opening.join(10)
    assert [line["event"] for line in log] == ["keyring_kept"]
    assert list(ring.key_ids) == [old.current]
    assert Vault(ring).new_data_key(new_id()).key_id == old.current
    service.away = False
    clock.seconds += 5
    ring.ring()
    assert list(ring.key_ids) == [old.current]
    clock.seconds += 6
    ring.ring()
    ring._opening.join(10)
    assert list(ring.key_ids) == [new.current, old.current]


def test_a_key_that_only_moved_is_not_asked_for_again(service: MemoryService, tmp_path: Path) -> None:
    path, clock = tmp_path / "keyring", HandClock()
    (one, first), (two, second) = new_entry(service), new_entry(service)
    put(path, first, second)
    ring = FileKeyring(path, clock=clock, open_key=KeyOpener([service]))
    service.away = True
    put(path, second, first)
    clock.seconds += 2
    assert ring.key_ids == (two.current, one.current)
