"""Links that lead out of docs/. A forge shows what they lead to; a site has no folders, and has some files of the root as pages of its own."""

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
        # A page is named by its path without the suffix, from the root of the pages; anything else as it was written.
        start = source if link.get("refdomain") == "doc" else (source / link["refdoc"]).parent
        target = start.joinpath(link["reftarget"]).resolve()
        if target.parent == source.parent and target.name in _PAGES:
            link["reftarget"] = _PAGES[target.name]
        elif target.is_dir() and target.is_relative_to(source.parent):
            link.replace_self(link.children)
