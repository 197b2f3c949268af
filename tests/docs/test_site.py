"""The pages as Sphinx builds them: without a warning, and what should be one is one."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from markdown_pages import ROOT

pytestmark = pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not installed: make docs")


def check(pages: Path, scratch: Path) -> "subprocess.CompletedProcess[str]":
    """Read and resolve every page, and write none: links, anchors and orphans are judged all the same."""
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-b", "dummy", "-d", str(scratch / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(pages), str(scratch / "out")]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    done = check(ROOT / "docs", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_orphan_and_a_link_to_nowhere_end_the_build(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    for name in ("conf.py", "extensions", "static"):
        source = ROOT / "docs" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, pages / name)
    for section in ("tutorials", "how-to", "reference", "explanation"):
        (pages / section).mkdir()
        (pages / section / "index.md").write_text("# Index\n")
    (pages / "index.md").write_text(
        "# Top\n\n[a](orphans/page.md) [b](gone.md) [c](how-to/index.md#gone) [d](../gone)\n"
    )
    (pages / "orphans").mkdir()
    (pages / "orphans" / "page.md").write_text("# Page\n")
    done = check(pages, tmp_path)
    assert done.returncode != 0
    for told in ("page.md: WARNING: document isn't included in any toctree", "'gone.md'", "'gone'", "'../gone'"):
        assert told in done.stderr
