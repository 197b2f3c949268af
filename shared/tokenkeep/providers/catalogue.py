"""The catalogue: every provider that we know, one data file each; and those that users add or change.

Three layers, each outranking the one before: the built-in files, what installed packages bring (the entry point group
`tokenkeep.providers`), and the directory that TOKENKEEP_PROVIDERS_DIR names. An entry that `extends` another one of a
layer below, or the built-in one of its own slug, says only what differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tokenkeep.domain.errors import CatalogueError, NotFound
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.entry_file import read_entry

_SUFFIX = ".yaml"
# libyaml's loader is ten times as fast, where PyYAML was built with it.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FastLoader):  # type: ignore[misc]  # chosen at run time
    """A safe loader that takes no key twice: YAML's would let the last one win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's signature
        """The mapping of a node. Raises `ConstructorError` for a key that was there before."""
        seen = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in seen:
            if seen.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True, slots=True)
class Package:
    """Entries that an installed package brings: by slug, each in the form of a data file."""

    name: str
    entries: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Written:
    """An entry as it is written. `file` is what complaints call it; `origin` is told to users."""

    slug: str
    file: str
    origin: str
    content: object


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The providers by slug."""

    # Nobody reads two megabytes, and whatever holds a catalogue is shown somewhere: by a task, in a traceback.
    providers: Mapping[str, Provider] = field(repr=False)

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


def load_catalogue(directory: Path | None = None, packages: Sequence[Package] = ()) -> Catalogue:
    """The built-in catalogue, with the entries of packages and of a directory laid over it.

    A file `slug.yaml` is the provider `slug`.

    Raises:
        CatalogueError: An entry can't be read, or does not say what an entry must say; file and field are named.
    """
    written, providers = dict(_built_in()), dict(_built_in_providers())
    layers = [_of_package(package) for package in packages]
    if directory is not None:
        layers.append(list(_files(directory, str(directory))))
    for layer in layers:
        whole = [_extended(it, written) for it in layer]
        written |= {it.slug: it for it in whole}
        providers |= {it.slug: read_entry(it.file, it.slug, it.content, origin=it.origin) for it in whole}
    return Catalogue(MappingProxyType(providers))


def read_entry_file(file: Path) -> Provider:
    """The provider that one file of a user's own describes, over the built-in catalogue.

    Raises:
        CatalogueError: The file can't be read, or does not say what an entry must say; the field is named.
    """
    if file.suffix != _SUFFIX:
        raise CatalogueError(file.name, "", f"a provider's file is named after its slug: acme{_SUFFIX}")
    it = _extended(_Written(file.stem, file.name, str(file.parent), _loaded(file)), _built_in())
    return read_entry(it.file, it.slug, it.content, origin=it.origin)


@cache
def _built_in() -> Mapping[str, _Written]:
    """The entries that come with us. They don't change while a process lives, and take it a fifth of a second to read."""
    home = resources.files(__package__).joinpath("data")
    return MappingProxyType({it.slug: it for it in _files(home, "built-in")})


@cache
def _built_in_providers() -> Mapping[str, Provider]:
    found = {slug: read_entry(it.file, slug, it.content, origin=it.origin) for slug, it in _built_in().items()}
    return MappingProxyType(found)


def _of_package(package: Package) -> list[_Written]:
    return [
        _Written(slug, f"{package.name}: {slug}", package.name, content) for slug, content in package.entries.items()
    ]


def _extended(it: _Written, below: Mapping[str, _Written]) -> _Written:
    """The entry with all that it takes over from the one that it extends. A field is taken over or replaced as a whole."""
    if not isinstance(it.content, dict) or "extends" not in it.content:
        return it
    base = it.content["extends"]
    found = below.get(base) if isinstance(base, str) else None
    if found is None or not isinstance(found.content, dict):
        raise CatalogueError(it.file, "extends", "there is no such provider to extend")
    own: dict[Any, Any] = {name: value for name, value in it.content.items() if name != "extends"}
    return _Written(it.slug, it.file, it.origin, {**found.content, **own})


def _files(home: Traversable, origin: str) -> Iterator[_Written]:
    try:
        files = sorted((file for file in home.iterdir() if file.name.endswith(_SUFFIX)), key=lambda file: file.name)
    except OSError as error:
        raise CatalogueError(home.name, "", f"can't be listed: {error.strerror}") from None
    for file in files:
        yield _Written(file.name.removesuffix(_SUFFIX), file.name, origin, _loaded(file))


def _loaded(file: Traversable) -> object:
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader, either way
    except OSError as error:
        raise CatalogueError(file.name, "", f"can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise CatalogueError(file.name, "", f"is not YAML: {detail}") from None
