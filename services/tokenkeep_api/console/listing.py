"""Whole lists, where a page of the API is not enough."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tokenkeep.domain.api_key import Scope
from tokenkeep_api.console.visits import Visit
from tokenkeep_api.paging import MOST

_MOST_PAGES: Final = 50
"""Ten thousand sources: what is beyond is found by its page alone."""


async def all_sources(visit: Visit) -> Sequence[Mapping[str, Any]]:
    """The environment's sources, oldest first; none if the key may not see them."""
    if not visit.may(Scope.SOURCES_READ):
        return []
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await visit.read("/v1/sources", {"limit": MOST, "cursor": cursor})
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found
