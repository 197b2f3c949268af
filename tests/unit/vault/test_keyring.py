import pickle

import pytest

from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

K1 = "A" * 43
K2 = "B" * 42 + "A"
SHORT = "C" * 42
LONG = "D" * 44


def parsed(text: str) -> Keyring:
    return Keyring.parse(Secret(text))


@pytest.mark.parametrize(
    "text",
    [
        f"new:{K2}\nold:{K1}\n",
        f"new:{K2}\r\nold:{K1}",
        f"new:{K2},old:{K1}",
        f"  new : {K2}= , old:{K1} ,",
        f"# rotated in May\n\nnew:{K2}  # current\nold:{K1}\n# gone:{K1}\n",
    ],
)
def test_entries_are_separated_by_lines_or_commas_and_the_first_is_current(text: str) -> None:
    ring = parsed(text)
    assert ring.key_ids == ("new", "old")
    assert ring.current == ring.key_id == "new"


def test_a_keyring_reads_back_what_it_writes() -> None:
    text = f"new:{K2}\nold:{K1}\n"
    assert parsed(text).to_text().reveal() == text


def test_a_generated_keyring_holds_one_key_that_nobody_else_has() -> None:
    first, second = Keyring.generate(), Keyring.generate()
    assert len(first.key_ids) == 1
    assert first.key_ids != second.key_ids
    assert first.to_text() != second.to_text()
    assert parsed(first.to_text().reveal()).key_ids == first.key_ids


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\n , # nothing\n", "is empty"),
        (K1, "entry 1 is not key_id:key"),
        (f"{K1}:k1", "entry 1 is not key_id:key"),
        (f":{K1}", "entry 1 is not key_id:key"),
        (f"k 1:{K1}", "entry 1 is not key_id:key"),
        (f"k1:{SHORT}", "entry 1 does not hold a key of 32 bytes"),
        (f"k1:{K1}\nk2:{LONG}", "entry 2 does not hold a key of 32 bytes"),
        ("k1:" + "+/" * 21 + "A", "entry 1 does not hold a key of 32 bytes"),
        ("k1:", "entry 1 does not hold a key of 32 bytes"),
        (f"k1:{K1},k1:{K2}", "entry 2 has the id of an earlier entry"),
    ],
)
def test_a_wrong_keyring_is_told_in_one_line_that_quotes_no_key(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(text)
    message = str(caught.value)
    assert message.startswith("TOKENKEEP_KEYRING: ")
    assert told in message
    assert "\n" not in message
    assert not any(key in message for key in (K1, K2, SHORT, LONG))


def test_the_message_names_the_setting_that_the_text_came_from() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_KEYRING_FILE: "):
        Keyring.parse(Secret(""), setting="TOKENKEEP_KEYRING_FILE")


def test_a_keyring_shows_its_ids_only() -> None:
    ring = parsed(f"new:{K2}\nold:{K1}")
    assert repr(ring) == str(ring) == f"{ring}" == "Keyring(new, old)"


def test_a_keyring_is_never_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Keyring.generate())
