"""What is derived from the code is as the code is."""

from pathlib import Path

from reference_docs.pages import REFERENCE, derived, is_derived
from reference_docs.settings_page import field_docstrings
from tokenkeep.settings import Settings


def test_the_derived_pages_are_those_that_follow_from_the_code() -> None:
    wanted = derived()
    found = {
        path.relative_to(REFERENCE).as_posix(): path.read_text(encoding="utf-8")
        for path in REFERENCE.rglob("*.md")
        if is_derived(path)
    }
    assert found == wanted, "make reference"
    assert len(wanted) > 10


def test_every_setting_has_its_words_and_its_readers() -> None:
    assert {name for name in Settings.model_fields if len(field_docstrings().get(name, "")) < 15} == set()
    page = Path(REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert "Read by: \n" not in page
