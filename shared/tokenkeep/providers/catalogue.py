"""The catalogue: every provider that we know, read from one data file each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

import yaml

from tokenkeep.domain.errors import CatalogueError, NotFound
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.entry_file import read_entry

_SUFFIX = ".yaml"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The providers by slug."""

    providers: Mapping[str, Provider]

    def get(self, slug: str) -> Provider:
        """The provider of this slug.

        Raises:
            NotFound: There is none; its kind is `provider`.
        """
        try:
            return self.providers[slug]
        except KeyError:
            raise NotFound(kind="provider") from None

    def all(self) -> tuple[Provider, ...]:
        """Every provider, by slug in alphabetical order."""
        return tuple(self.providers[slug] for slug in sorted(self.providers))


def load_catalogue(directory: Path | None = None) -> Catalogue:
    """The built-in catalogue, or the one of another directory. A file `slug.yaml` is the provider `slug`.

    Raises:
        CatalogueError: A file can't be read, or does not say what an entry must say; file and field are named.
    """
    home: Traversable = resources.files(__package__).joinpath("data") if directory is None else directory
    entries = {entry.slug: entry for entry in _entries(home)}
    return Catalogue(MappingProxyType(entries))


def _entries(home: Traversable) -> Iterator[Provider]:
    try:
        files = sorted((file for file in home.iterdir() if file.name.endswith(_SUFFIX)), key=lambda file: file.name)
    except OSError as error:
        raise CatalogueError(home.name, "", f"can't be listed: {error.strerror}") from None
    for file in files:
        yield read_entry(file.name, file.name.removesuffix(_SUFFIX), _loaded(file))


def _loaded(file: Traversable) -> object:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(file.name, "", f"can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise CatalogueError(file.name, "", f"is not YAML: {detail}") from None
