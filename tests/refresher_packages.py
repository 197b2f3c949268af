"""Packages that bring refreshers, as they lie about when they are installed."""

from pathlib import Path


def install_refreshers(directory: Path, **refreshers: str) -> None:
    """Lay down a package's metadata: each refresher by its name, with the place where it is found."""
    info = directory / "refreshers_of_a_test-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: refreshers-of-a-test\nVersion: 1\n")
    lines = [f"{name} = {place}" for name, place in refreshers.items()]
    (info / "entry_points.txt").write_text("\n".join(["[tokenkeep.refreshers]", *lines, ""]))
