"""Refreshers are found by their entry points, and one that can't serve is named before any work begins."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from installed_packages import install_refreshers
from tokenkeep.adapters.refreshers.installed import GROUP, installed_refreshers
from tokenkeep.domain.errors import SettingsError


def point(name: str, place: str) -> EntryPoint:
    return EntryPoint(name, place, GROUP)


def test_nothing_is_installed_by_itself() -> None:
    assert installed_refreshers() == {}


def test_an_installed_package_brings_its_refreshers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_refreshers(tmp_path, scripted="scripted_refresher:refresh")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(installed_refreshers()) == ["scripted"]


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("no_such_module:refresh", "acme of tokenkeep.refreshers: can't be loaded: ModuleNotFoundError"),
        ("scripted_refresher:nothing", "acme of tokenkeep.refreshers: can't be loaded: AttributeError"),
        ("scripted_refresher:SCRIPTED", "acme of tokenkeep.refreshers: is not an async function"),
        ("scripted_refresher:raises", "acme of tokenkeep.refreshers: is not an async function"),
    ],
)
def test_one_that_cannot_serve_is_named(place: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        installed_refreshers([point("acme", place)])


def test_two_of_one_name_are_refused() -> None:
    twice = [point("acme", "scripted_refresher:refresh"), point("acme", "scripted_refresher:rotated")]
    with pytest.raises(SettingsError, match="two packages bring one of this name"):
        installed_refreshers(twice)
