"""The key services that `TOKENKEEP_KEYRING_KMS` names.

`aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID`, `gcp-kms:projects/…/locations/…/keyRings/…/cryptoKeys/…` and
`vault-transit+https://host:8200/mount/key` (`?namespace=…`). Their clients are imported only if they are named.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tokenkeep.adapters.hashicorp_http import VaultLogin
from tokenkeep.adapters.key_services.key_service import KeyService
from tokenkeep.domain.errors import SettingsError

SETTING: Final = "TOKENKEEP_KEYRING_KMS"
_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_CRYPTO_KEY: Final = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def open_key_services(named: Sequence[str], login: VaultLogin) -> tuple[KeyService, ...]:
    """The services, nothing of them connected; the first is the one that encrypts new keys.

    Raises:
        SettingsError: One can't be understood, is of a kind that is named twice, or its client is not installed.
    """
    services: list[KeyService] = []
    for text in named:
        service = _opened(text, login)
        if service.kind in {it.kind for it in services}:
            raise SettingsError(f"{SETTING}: there can be one of a kind, and {service.kind} is named twice")
        services.append(service)
    return tuple(services)


def _opened(text: str, login: VaultLogin) -> KeyService:
    kind, _, rest = text.partition(":")
    if kind == "aws-kms":
        if _ARN.fullmatch(rest) is None:
            # No alias: what it leads to may change, and then nothing opens any more.
            raise SettingsError(
                f"{SETTING}: must be like aws-kms:arn:aws:kms:eu-west-1:111122223333:key/ID, not an alias"
            )
        from tokenkeep.adapters.key_services.aws_kms import AwsKms  # noqa: PLC0415 - an extra

        return AwsKms(rest)
    if kind == "gcp-kms":
        if _CRYPTO_KEY.fullmatch(rest) is None:
            raise SettingsError(f"{SETTING}: must be like gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K")
        from tokenkeep.adapters.key_services.gcp_kms import GcpKms  # noqa: PLC0415 - an extra

        return GcpKms(rest)
    if kind in {"vault-transit+https", "vault-transit+http"}:
        return _transit(text, login)
    raise SettingsError(
        f"{SETTING}: must be aws-kms:ARN, gcp-kms:projects/…/cryptoKeys/… or vault-transit+https://host/mount/key"
    )


def _transit(text: str, login: VaultLogin) -> KeyService:
    from tokenkeep.adapters.key_services.vault_transit import VaultTransit  # noqa: PLC0415 - as the others

    parts = urlsplit(text.removeprefix("vault-transit+"))
    mount, _, key = parts.path.strip("/").rpartition("/")
    if not parts.hostname or not mount or not key or parts.username is not None:
        raise SettingsError(f"{SETTING}: must be like vault-transit+https://host:8200/transit/tokenkeep")
    if not login.is_whole:
        raise SettingsError(
            f"{SETTING}: vault-transit wants TOKENKEEP_VAULT_TOKEN, or TOKENKEEP_VAULT_ROLE_ID and TOKENKEEP_VAULT_SECRET_ID"
        )
    return VaultTransit(
        f"{parts.scheme}://{parts.netloc}",
        mount=mount,
        key=key,
        namespace=parse_qs(parts.query).get("namespace", [None])[0],
        login=login,
    )
