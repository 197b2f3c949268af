"""Packages that bring refreshers or stores, as they lie about when they are installed."""

from pathlib import Path


def install_refreshers(directory: Path, **refreshers: str) -> None:
    """Lay down the metadata of a package that brings these refreshers: each by its name, with the place where it is found."""
    install_entry_points(directory, "tokenkeep.refreshers", **refreshers)


def install_entry_points(directory: Path, group: str, **points: str) -> None:
    """Lay down the metadata of a package that brings these entry points."""
    info = directory / f"package_of_{group.rpartition('.')[2]}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {info.name[:-12]}\nVersion: 1\n")
    lines = [f"{name} = {place}" for name, place in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
