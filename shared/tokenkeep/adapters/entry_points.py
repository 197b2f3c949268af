"""What installed packages bring to us, by the groups of their entry points."""

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints


def entry_points(group: str) -> Sequence[EntryPoint]:
    """The entry points of this group, of what is installed where this process looks for modules."""
    return tuple(_selecting(tuple(sys.path))(group=group))


@lru_cache(maxsize=1)
def _selecting(_path: tuple[str, ...]) -> Callable[..., EntryPoints]:
    # Each look reads the metadata of every installed package, whatever the group: some 20 ms.
    return metadata.entry_points().select
