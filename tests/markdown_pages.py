"""The repository's Markdown, as a forge reads it: which anchors a page has, and where its links lead."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
_READER = MarkdownIt("commonmark").enable("table")


def pages() -> list[Path]:
    """Every page of the repository. Hidden folders and what was built are none of it."""
    found = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [name for name in below if not name.startswith((".", "_"))]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def broken_links(page: Path) -> list[str]:
    """The page's links, within the repository, to what is not there."""
    return [link for link in links(page.read_text(encoding="utf-8")) if not _leads_somewhere(page, link)]


def links(text: str) -> Iterator[str]:
    """Where links and pictures of a page lead."""
    for token in _inline(_READER.parse(text)):
        target = token.attrGet("href") or token.attrGet("src")
        if target is not None:
            yield str(target)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that forges make of a page's headings: a second one of the same words ends in -1."""
    tokens = _READER.parse(page.read_text(encoding="utf-8"))
    headings = [following.content for token, following in pairwise(tokens) if token.type == "heading_open"]
    seen: Counter[str] = Counter()
    found = set()
    for heading in headings:
        # Of a link only the words count.
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
        seen[slug] += 1
    return frozenset(found)


def _leads_somewhere(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not parts.fragment or target.suffix != ".md" or parts.fragment in anchors(target)


def _inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _inline(token.children or [])
