"""Which stores and which keyring belong to the settings: those that are named, else the embedded ones of the data directory."""

from dataclasses import dataclass
from pathlib import Path

from tokenkeep.adapters.embedded import postgres, valkey
from tokenkeep.cli.first_start import KEYRING_FILE
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to an installation, as far as it is there."""

    database_url: Secret | None
    redis_url: Secret | None
    keyring_file: Path | None


def find_belongings(settings: Settings) -> Belongings:
    """What the settings name, and what `tokenkeep up` has made where they name nothing."""
    data_dir = settings.data_dir.absolute()
    keyring_file = settings.keyring_file
    if keyring_file is None and settings.keyring is None and (data_dir / KEYRING_FILE).is_file():
        keyring_file = data_dir / KEYRING_FILE
    return Belongings(
        settings.database_url or postgres.address_of_embedded(data_dir),
        settings.redis_url or valkey.address_of_embedded(data_dir),
        keyring_file,
    )
