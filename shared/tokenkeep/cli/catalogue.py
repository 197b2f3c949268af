"""The catalogue as this machine's settings make it."""

from tokenkeep.providers.catalogue import Catalogue


def this_catalogue() -> Catalogue:
    """The built-in entries, those of installed packages, and those of TOKENKEEP_PROVIDERS_DIR.

    Raises:
        SettingsError: A setting is wrong.
        CatalogueError: An entry is wrong; file and field are named.
    """
    from tokenkeep.adapters.provider_packages import installed_packages  # noqa: PLC0415  # see the package
    from tokenkeep.providers.catalogue import load_catalogue  # noqa: PLC0415  # as above
    from tokenkeep.settings import load_settings  # noqa: PLC0415  # as above

    return load_catalogue(load_settings().providers_dir, installed_packages())
