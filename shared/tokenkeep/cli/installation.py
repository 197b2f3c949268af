"""Which stores and which keyring belong to the settings: those that are named, else what `tokenkeep up` has in the data directory."""

from tokenkeep.cli.first_start import KEYRING_FILE
from tokenkeep.settings import Settings


def installation_of(settings: Settings) -> Settings:
    """The settings, with what `tokenkeep up` has made and runs where they name nothing.

    Raises:
        EmbeddedFailure: Somebody else's server has taken the place of one that `up` runs.
    """
    from tokenkeep.adapters.embedded import postgres, valkey  # noqa: PLC0415  # see the package `cli`

    data_dir = settings.data_dir.absolute()
    found: dict[str, object] = {}
    if settings.database_url is None:
        found["database_url"] = postgres.address_of_embedded(data_dir)
    if settings.redis_url is None:
        found["redis_url"] = valkey.address_of_embedded(data_dir)
    if settings.keyring is None and settings.keyring_file is None and (data_dir / KEYRING_FILE).is_file():
        found["keyring_file"] = data_dir / KEYRING_FILE
    return settings.model_copy(update=found)
