"""The formal model of the custody protocol, and the page that cites it, stay with each other."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CUSTODY = Path(__file__).resolve().parents[2] / "docs" / "custody"
MISSING = [tool for tool in ("spin", "cc") if shutil.which(tool) is None]


def names_of_rows() -> list[str]:
    document = tomllib.loads((CUSTODY / "model" / "rows.toml").read_text(encoding="utf-8"))
    return [row["name"] for group in document["group"] for row in group["row"]]


def cited(page: str) -> set[str]:
    """The rows that a text names; `W6-W9` names all between. Steps (S), invariants (I) and assumptions (A) are no rows."""
    text = re.sub(r"\b[SIA]\d", "", page)
    names: set[str] = set(re.findall(r"\b[A-Z]\d+\b", text))
    for family, first, last in re.findall(r"\b([A-Z])(\d+)-[A-Z](\d+)\b", text):
        names |= {f"{family}{number}" for number in range(int(first), int(last) + 1)}
    return names


@pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)} not installed; `make model` checks the model where they are"
)
@pytest.mark.timeout(600)
def test_the_small_rows_of_the_model_are_as_wanted() -> None:
    command = [sys.executable, str(CUSTODY / "model" / "run.py"), "--quick"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_two_rows_have_the_same_name() -> None:
    names = names_of_rows()
    assert len(names) == len(set(names))


def test_every_row_that_the_page_names_is_checked() -> None:
    page = (CUSTODY / "README.md").read_text(encoding="utf-8")
    assert cited(page) - set(names_of_rows()) == set()


def test_the_saved_results_are_of_the_present_rows() -> None:
    document = tomllib.loads((CUSTODY / "model" / "rows.toml").read_text(encoding="utf-8"))
    usual = {row["name"]: row for group in document["group"] for row in group["row"] if row.get("size") != "large"}
    saved = (CUSTODY / "model" / "results.md").read_text(encoding="utf-8")
    results = dict(re.findall(r"^\| ([A-Z]\d+) \|.*\| ([a-z* ,]+) \| [\d,-]+ \| [\d.]+ \|$", saved, re.MULTILINE))
    assert results == {name: row["wanted"] for name, row in usual.items()}
