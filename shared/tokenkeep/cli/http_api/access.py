"""Where the API is and which key opens it: from flags, from the environment, or from the data directory of `make run`."""

from dataclasses import dataclass
from typing import Annotated

import typer

from tokenkeep.cli.first_start import ADMIN_KEY_FILE
from tokenkeep.cli.listening import local_url
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_ENVIRONMENT_HEADER = "X-Tokenkeep-Environment"

ApiFlag = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="Where the API is; else TOKENKEEP_PUBLIC_URL, else this machine."),
]
KeyFlag = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="An API key; else TOKENKEEP_ADMIN_KEY, else the data directory's admin key. Other users see flags in the"
        " list of processes, but not the environment.",
    ),
]
EnvironmentFlag = Annotated[
    str | None,
    typer.Option("--environment", metavar="NAME", help="The environment, if the key is the admin key (else: default)."),
]


@dataclass(frozen=True, slots=True)
class Access:
    """An API and a key to it."""

    url: str
    key: Secret
    environment: str | None

    def headers(self) -> dict[str, str]:
        """What each request bears."""
        headers = {"Authorization": f"Bearer {self.key.reveal()}"}
        return headers if self.environment is None else {**headers, _ENVIRONMENT_HEADER: self.environment}


def find_access(url: str | None, key: str | None, environment: str | None) -> Access:
    """The API that is meant.

    Raises:
        SettingsError: There is no key, or a setting is wrong.
    """
    from tokenkeep.settings import load_settings  # noqa: PLC0415  # see the package `cli`

    settings = load_settings()
    if url is None:
        url = settings.public_url or local_url(settings.api_host, settings.api_port)
        address = _address("TOKENKEEP_PUBLIC_URL", url)
    else:
        address = _address("--api", url)
    found = Secret(key.strip()) if key is not None else settings.admin_key
    if found is None:
        path = settings.data_dir / ADMIN_KEY_FILE
        try:
            found = Secret(path.read_text().strip())
        except (OSError, UnicodeDecodeError):
            msg = f"TOKENKEEP_ADMIN_KEY: must be set, or --key be given; there is no {path} either"
            raise SettingsError(msg) from None
    if not found or not _fits_a_header(found.reveal()):
        msg = "--key: is not an API key"
        raise SettingsError(msg)
    if environment is not None and not _fits_a_header(environment):
        msg = "--environment: is not the name of an environment"
        raise SettingsError(msg)
    return Access(address, found, environment)


def _address(name: str, url: str) -> str:
    """The address in ASCII, as it goes over the wire. Raises `SettingsError`, which begins with `name`, if it can be none."""
    import httpx  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.setting_values import base_url  # noqa: PLC0415  # as above

    try:
        return str(httpx.URL(base_url(url)))
    except (ValueError, httpx.InvalidURL):
        msg = f"{name}: must be a URL such as https://tokenkeep.example.com"
        raise SettingsError(msg) from None


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
