"""Providers that installed packages bring: the entry point group `tokenkeep.providers`.

An entry point names a mapping, or a function without arguments that returns one, from slugs to entries in the form of the
catalogue's data files.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint

from tokenkeep.adapters.entry_points import entry_points
from tokenkeep.domain.errors import CatalogueError
from tokenkeep.providers.catalogue import Package

GROUP = "tokenkeep.providers"


def installed_packages(found: Iterable[EntryPoint] | None = None) -> tuple[Package, ...]:
    """What the installed packages bring, by the entry point's name, so that their order is the same each time.

    Args:
        found: The entry points to take instead of those that are installed.

    Raises:
        CatalogueError: An entry point can't be loaded, or does not lead to a mapping; it is named in the place of a file.
    """
    points = entry_points(GROUP) if found is None else found
    return tuple(_package(point) for point in sorted(points, key=lambda point: point.name))


def _package(point: EntryPoint) -> Package:
    name = f"entry point {point.name}"
    try:
        loaded = point.load()
        entries = loaded() if callable(loaded) else loaded
    except (Exception, SystemExit) as error:
        raise CatalogueError(name, "", f"can't be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(entries, Mapping) or not all(isinstance(slug, str) for slug in entries):
        raise CatalogueError(name, "", "expected a mapping from slugs to entries")
    return Package(name, entries)
