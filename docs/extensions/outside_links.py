"""Links that lead out of docs/. A forge shows what they lead to; a site has neither folders nor the words in them, and has some files of the root as pages of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

_PAGES = {"CHANGELOG": "project/changelog", "CONTRIBUTING": "project/contributing", "SECURITY": "project/security"}


def setup(app: "Sphinx") -> dict[str, Any]:
    """Have them led where the site has it. What is nowhere is left to MyST, which warns."""
    app.connect("doctree-read", _lead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _lead(app: "Sphinx", doctree: "document") -> None:
    source = Path(app.srcdir)
    for link in list(doctree.findall(pending_xref)):
        # A page is named by its path without the suffix, from the root of the pages; anything else as it was written,
        # which in a file of the root is seen from there.
        beside = source.parent if link["refdoc"] in _PAGES.values() else (source / link["refdoc"]).parent
        start = source if link.get("refdomain") == "doc" else beside
        target = start.joinpath(link["reftarget"]).resolve()
        if target.parent == source.parent and target.stem in _PAGES:
            link.attributes |= {
                "refdomain": "doc",
                "reftarget": _PAGES[target.stem],
                "reftargetid": link.get("reftargetid"),
            }
        elif _is_no_page(target, source):
            link.replace_self(link.children)


def _is_no_page(target: Path, source: Path) -> bool:
    """Whether it is a folder, or a file of words that lies beside what it tells of and not among the pages."""
    if not target.is_relative_to(source.parent):
        return False
    return target.is_dir() or (target.with_suffix(".md").is_file() and not target.is_relative_to(source))
