"""No page of the repository leads to what is not there, wherever it is read."""

from pathlib import Path

import pytest

import markdown_pages
from markdown_pages import ROOT, anchors, broken_links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_an_anchor_that_are_there(page: Path) -> None:
    assert broken_links(page) == []


def test_what_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_pages, "ROOT", tmp_path)
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# It's `here`, [now](x)\n\n# Twice\n\n# Twice\n")
    fine = "[a](other.md#its-here-now) [b](other.md#twice-1) [c](#top) ![d](other.md) [e](https://example.com/x#y)"
    wrong = ["gone.md", "other.md#elsewhere", "#nowhere", "../outside.md", "gone.png"]
    page.write_text(f"# Top\n\n{fine}\n\n" + " ".join(f"[x]({link})" for link in wrong[:-1]) + f" ![x]({wrong[-1]})\n")
    assert broken_links(page) == wrong


def test_anchors_are_those_of_forges() -> None:
    page = ROOT / "docs" / "reference" / "api" / "accounts.md"
    assert "post-v1accountsaccount_idtoken" in anchors(page)


INDEXES = {
    "tutorials/index.md": ["tutorials/*.md"],
    "how-to/index.md": ["how-to/*.md", "examples/*/README.md"],
    "reference/index.md": ["reference/*.md", "reference/*/index.md"],
    "reference/auth-types/index.md": ["reference/auth-types/*.md"],
    "explanation/index.md": ["explanation/*.md"],
    "adr/README.md": ["adr/*.md"],
    "runbooks/README.md": ["runbooks/*.md"],
}


@pytest.mark.parametrize("index", INDEXES)
def test_an_index_names_every_page_of_its_folder(index: str) -> None:
    docs = ROOT / "docs"
    page = docs / index
    named = {(page.parent / link.partition("#")[0]).resolve() for link in markdown_pages.links(page.read_text())}
    wanted = {path for pattern in INDEXES[index] for path in docs.glob(pattern)} - {page}
    assert {path.relative_to(docs).as_posix() for path in wanted - named} == set()
