"""The navigation, taken from where pages lie: a page that is put into a folder is in it, and no page names its neighbours.

Sphinx wants a `toctree` in a page. On a forge its text would stand there as a block of code, so it is put in while a page is read.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SECTIONS = {
    "index": ("tutorials/index", "how-to/index", "reference/index", "explanation/index", "runbooks/README", "project"),
    "tutorials/index": ("*",),
    "how-to/index": ("*", "/examples/*/README"),
    "reference/index": ("*", "api/index", "auth-types/index"),
    "reference/api/index": ("*",),
    "reference/auth-types/index": ("*",),
    "explanation/index": ("*", "/architecture", "/custody/README", "/custody/model/*", "/client-authentication"),
    "runbooks/README": ("*",),
    "adr/README": ("*",),
    "project": ("adr/README", "project/*"),
}


def setup(app: "Sphinx") -> dict[str, Any]:
    """Have the navigation put in."""
    app.connect("source-read", _add_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_pages(_app: "Sphinx", page: str, source: list[str]) -> None:
    if page in _SECTIONS:
        source[0] += "\n\n```{toctree}\n:hidden:\n:glob:\n\n" + "\n".join(_SECTIONS[page]) + "\n```\n"
