"""Refreshers that installed packages bring: the entry point group `tokenkeep.refreshers`.

An entry point's name is what entries of the catalogue and sources call the refresher by; it leads to an async function
(`domain.refresher`). They are loaded when a worker is wired. One that can't be loaded ends it there: its accounts would wait
for a long time before anybody saw why.
"""

import inspect
from collections.abc import Iterable
from importlib.metadata import EntryPoint

from tokenkeep.adapters.entry_points import entry_points
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.refresher import Refresher

GROUP = "tokenkeep.refreshers"


def installed_refreshers(found: Iterable[EntryPoint] | None = None) -> dict[str, Refresher]:
    """The refreshers by name.

    Args:
        found: The entry points to take instead of those that are installed.

    Raises:
        SettingsError: One can't be loaded, is no async function, or has the name of another one; it is named.
    """
    refreshers: dict[str, Refresher] = {}
    for point in entry_points(GROUP) if found is None else found:
        if point.name in refreshers:
            raise SettingsError(f"entry point {point.name} of {GROUP}: two packages bring one of this name")
        refreshers[point.name] = _loaded(point)
    return refreshers


def _loaded(point: EntryPoint) -> Refresher:
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:
        raise SettingsError(f"entry point {point.name} of {GROUP}: can't be loaded: {type(error).__name__}") from error
    if not inspect.iscoroutinefunction(loaded) and not inspect.iscoroutinefunction(getattr(loaded, "__call__", None)):  # noqa: B004 - an object whose call is async serves as well
        raise SettingsError(f"entry point {point.name} of {GROUP}: is not an async function")
    refresher: Refresher = loaded
    return refresher
