from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import UnknownKey, VaultError
from tokenkeep.domain.secret import Secret

OWNER = UUID("0193e1a4-c1c0-7d0f-8f3c-7be4a1b2c3d4")
OTHER_OWNER = UUID("0193e1a4-c1c0-7d0f-8f3c-7be4a1b2c3d5")
VERSION = (3, 17)
TOKEN = b"refresh-token-canary"

RING = Keyring.generate()
VAULT = Vault(RING)
KEY = VAULT.new_data_key(OWNER)
SEALED = VAULT.seal(OWNER, KEY, "refresh_token", VERSION, TOKEN)


class CountingWrapper:
    """A key wrapper that counts how often it is asked to unwrap."""

    def __init__(self) -> None:
        self._ring = Keyring.generate()
        self.unwrapped = 0

    @property
    def key_id(self) -> str:
        return self._ring.key_id

    def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        return self._ring.wrap(key_id, data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        self.unwrapped += 1
        return self._ring.unwrap(key_id, wrapped, context)


versions = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@settings(deadline=None)  # how long it takes is another matter
@given(owner=st.uuids(), field=st.text(), version=versions, plaintext=st.binary(max_size=4096))
def test_what_is_sealed_opens_in_its_own_place(
    owner: UUID, field: str, version: tuple[int, int], plaintext: bytes
) -> None:
    key = VAULT.new_data_key(owner)
    sealed = VAULT.seal(owner, key, field, version, plaintext)
    assert VAULT.open(owner, key, field, version, sealed) == plaintext


@settings(deadline=None)
@given(text=st.text(st.characters()))
def test_a_secret_text_comes_back_as_a_secret(text: str) -> None:
    sealed = VAULT.seal_text(OWNER, KEY, "access_token", VERSION, Secret(text))
    opened = VAULT.open_secret(OWNER, KEY, "access_token", VERSION, sealed)
    assert isinstance(opened, Secret)
    assert opened.reveal() == text


@settings(deadline=None)
@given(position=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_a_ciphertext_altered_anywhere_does_not_open(position: int, flip: int) -> None:
    altered = bytearray(SEALED)
    altered[position] ^= flip
    with pytest.raises(VaultError):
        VAULT.open(OWNER, KEY, "refresh_token", VERSION, bytes(altered))


@settings(deadline=None)
@given(length=st.integers(0, len(SEALED) - 1))
def test_a_ciphertext_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(VaultError):
        VAULT.open(OWNER, KEY, "refresh_token", VERSION, SEALED[:length])


def test_a_row_copied_onto_another_account_does_not_decrypt() -> None:
    with pytest.raises(VaultError):
        VAULT.open(OTHER_OWNER, KEY, "refresh_token", VERSION, SEALED)


def test_a_ciphertext_alone_copied_onto_another_account_does_not_decrypt() -> None:
    with pytest.raises(VaultError):
        VAULT.open(OTHER_OWNER, VAULT.new_data_key(OTHER_OWNER), "refresh_token", VERSION, SEALED)


@pytest.mark.parametrize("field", ["access_token", "refresh_toke", "refresh_token\0", ""])
def test_a_ciphertext_moved_to_another_field_does_not_decrypt(field: str) -> None:
    with pytest.raises(VaultError):
        VAULT.open(OWNER, KEY, field, VERSION, SEALED)


@pytest.mark.parametrize("version", [(3, 16), (3, 18), (2, 17), (17, 3)])
def test_an_older_or_newer_version_of_a_row_does_not_decrypt(version: tuple[int, int]) -> None:
    with pytest.raises(VaultError):
        VAULT.open(OWNER, KEY, "refresh_token", version, SEALED)


def test_another_data_key_of_the_same_account_does_not_decrypt() -> None:
    with pytest.raises(VaultError):
        VAULT.open(OWNER, VAULT.new_data_key(OWNER), "refresh_token", VERSION, SEALED)


def test_a_data_key_does_not_unwrap_for_another_account_even_when_it_was_unwrapped_before() -> None:
    VAULT.seal(OWNER, KEY, "refresh_token", VERSION, TOKEN)
    with pytest.raises(VaultError):
        VAULT.seal(OTHER_OWNER, KEY, "refresh_token", VERSION, TOKEN)


def test_a_data_key_relabelled_with_another_wrapping_key_does_not_unwrap() -> None:
    ring = Keyring.parse(Secret(RING.to_text().reveal() + Keyring.generate().to_text().reveal()))
    vault = Vault(ring)
    with pytest.raises(VaultError):
        vault.open(OWNER, replace(KEY, key_id=ring.key_ids[1]), "refresh_token", VERSION, SEALED)


def test_a_data_key_is_bound_to_the_name_of_its_wrapping_key_even_when_two_names_have_one_key() -> None:
    same = "A" * 43
    vault = Vault(Keyring.parse(Secret(f"one:{same},two:{same}")))
    key = vault.new_data_key(OWNER)
    with pytest.raises(VaultError):
        vault.seal(OWNER, replace(key, key_id="two"), "refresh_token", VERSION, TOKEN)


def test_a_keyring_without_the_wrapping_key_says_which_one_it_lacks() -> None:
    with pytest.raises(UnknownKey) as caught:
        Vault(Keyring.generate()).open(OWNER, KEY, "refresh_token", VERSION, SEALED)
    assert caught.value.key_id == KEY.key_id


def test_a_refusal_tells_nothing_of_why() -> None:
    texts = set()
    for owner, ciphertext in ((OTHER_OWNER, SEALED), (OWNER, SEALED[:-1]), (OWNER, b""), (OWNER, b"\x02" + SEALED[1:])):
        with pytest.raises(VaultError) as caught:
            VAULT.open(owner, KEY, "refresh_token", VERSION, ciphertext)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_a_plaintext_that_is_no_text_is_refused_without_being_carried_along() -> None:
    sealed = VAULT.seal(OWNER, KEY, "access_token", VERSION, b"canary\xff")
    with pytest.raises(VaultError) as caught:
        VAULT.open_secret(OWNER, KEY, "access_token", VERSION, sealed)
    assert caught.value.__context__ is None


def test_the_same_plaintext_is_never_sealed_to_the_same_bytes() -> None:
    sealed = {VAULT.seal(OWNER, KEY, "refresh_token", VERSION, TOKEN) for _ in range(1_000)}
    assert len(sealed) == 1_000
    assert all(text[:1] == b"\x01" and TOKEN not in text for text in sealed)


def test_two_data_keys_of_one_account_differ() -> None:
    assert VAULT.new_data_key(OWNER).wrapped != VAULT.new_data_key(OWNER).wrapped


def test_rows_of_an_old_key_open_after_a_rotation_and_new_ones_use_the_new_key() -> None:
    new = Keyring.generate()
    rotated = Keyring.parse(Secret(new.to_text().reveal() + RING.to_text().reveal()))
    vault = Vault(rotated)
    assert vault.open(OWNER, KEY, "refresh_token", VERSION, SEALED) == TOKEN
    assert vault.new_data_key(OWNER).key_id == new.current


def test_a_rewrapped_key_opens_what_it_sealed_before_without_the_old_wrapping_key() -> None:
    new = Keyring.generate()
    rotated = Vault(Keyring.parse(Secret(new.to_text().reveal() + RING.to_text().reveal())))
    rewrapped = rotated.rewrap(OWNER, KEY)
    assert rewrapped.key_id == new.current
    assert Vault(new).open(OWNER, rewrapped, "refresh_token", VERSION, SEALED) == TOKEN


def test_a_key_that_is_wrapped_by_the_current_key_is_left_as_it_is() -> None:
    assert VAULT.rewrap(OWNER, KEY) is KEY


def test_a_data_key_is_not_rewrapped_for_another_account() -> None:
    rotated = Vault(Keyring.parse(Secret(Keyring.generate().to_text().reveal() + RING.to_text().reveal())))
    with pytest.raises(VaultError):
        rotated.rewrap(OTHER_OWNER, KEY)


def test_a_data_key_is_unwrapped_once() -> None:
    wrapper = CountingWrapper()
    vault = Vault(wrapper)
    key = vault.new_data_key(OWNER)
    sealed = vault.seal(OWNER, key, "access_token", VERSION, TOKEN)
    for _ in range(10):
        vault.open(OWNER, key, "access_token", VERSION, sealed)
    assert wrapper.unwrapped == 1


def test_only_so_many_unwrapped_keys_are_kept() -> None:
    wrapper = CountingWrapper()
    vault = Vault(wrapper, cached_keys=2)
    owners = [uuid4() for _ in range(3)]
    keys = [vault.new_data_key(owner) for owner in owners]
    for owner, key in zip(owners, keys, strict=True):
        vault.seal(owner, key, "access_token", VERSION, TOKEN)
    vault.seal(owners[2], keys[2], "access_token", VERSION, TOKEN)
    assert wrapper.unwrapped == 3
    vault.seal(owners[0], keys[0], "access_token", VERSION, TOKEN)
    assert wrapper.unwrapped == 4


def test_neither_the_vault_nor_a_sealed_key_shows_its_bytes() -> None:
    shown = repr(VAULT) + str(VAULT) + repr(SealedKey("k1", b"wrapped-canary"))
    assert "canary" not in shown
    assert repr(SealedKey("k1", b"wrapped-canary")) == "SealedKey(key_id='k1')"
