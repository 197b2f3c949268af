"""The database's address as operators write it (libpq's URIs), as asyncpg and SQLAlchemy take it.

PostgreSQL's documentation, section 34.1.1, is the source of the form and of the parameters' names.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_SETTING: Final = "TOKENKEEP_DATABASE_URL"
CONNECT_TIMEOUT_S: Final = 10
_LONGEST_TIMEOUT_S: Final = 300

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_DRIVERS: Final = frozenset(
    {
        "host",
        "port",
        "user",
        "password",
        "dbname",
        "passfile",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcrl",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "krbsrvname",
        "options",
    }
)
"""Those that asyncpg reads from a DSN itself, or hands to the server as they are (`options`)."""

_OURS: Final = frozenset({"application_name", "connect_timeout"})
_OTHER_NAMES: Final = {"ssl": "sslmode", "database": "dbname"}
"""What SQLAlchemy's and other drivers' URLs call them."""

_WITHOUT_EFFECT: Final = {"gssencmode": {"disable", "prefer"}, "channel_binding": {"disable", "prefer"}}
"""What asyncpg does anyway: such values ask for nothing that it can't do."""

_CHOICES: Final = {
    "sslmode": _SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}
_SYSTEM_ROOTS: Final = "system"
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]*)(?::[0-9]{1,5})?")
_PORT: Final = re.compile(r":[0-9]+$")


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """What asyncpg is given. `tls`: a context for certificates of the system's own roots, which a DSN can't ask for."""

    dsn: Secret
    application_name: str | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    tls: ssl.SSLContext | None = field(default=None, compare=False)

    async def connect(
        self, *, process: str, server_settings: Mapping[str, str], **given: Any
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """One connection. `process` shows in `pg_stat_activity`, unless the address names an `application_name`.

        Raises:
            OSError: The server can't be reached; as `TimeoutError`, does not answer.
            asyncpg.PostgresError: It refuses.
        """
        if self.tls is not None:
            given["ssl"] = self.tls
        return await asyncpg.connect(
            self.dsn.reveal(),
            timeout=self.connect_timeout_s,
            server_settings={**server_settings, "application_name": self.application_name or process},
            **given,
        )


def read_address(database_url: Secret) -> DatabaseAddress:
    """The address that a URL describes; `postgres://` and `postgresql://` are both taken, several hosts too.

    Raises:
        SettingsError: It is no such address, or a parameter can't be understood or asks for what the driver can't do. The
            line names the parameter and quotes no value but a file's name.
    """
    parts, asked = _read(database_url)
    application_name = asked.pop("application_name", None)
    timeout_s = _timeout(asked.pop("connect_timeout", None))
    tls = _system_tls(asked) if asked.get("sslrootcert") == _SYSTEM_ROOTS else None
    _check_files(asked)
    query = f"?{urlencode(asked, quote_via=quote)}" if asked else ""
    return DatabaseAddress(Secret(f"postgresql://{parts.netloc}{parts.path}{query}"), application_name, timeout_s, tls)


def asyncpg_url(database_url: Secret) -> URL:
    """The address in SQLAlchemy's form, for its dialect: user, hosts and database; connections are made by `DatabaseAddress`.

    Raises:
        SettingsError: As `read_address`.
    """
    parts, asked = _read(database_url)
    login, at, hosts = parts.netloc.rpartition("@")
    many = hosts.split(",") if "," in hosts else []
    try:
        url = make_url(f"postgresql+asyncpg://{login}{at}{'' if many else hosts}{parts.path}")
    except (ArgumentError, ValueError):
        raise _no_address() from None
    if many:
        url = url.set(query={"host": tuple(one if _PORT.search(one) else f"{one}:5432" for one in many)})
    elif "host" in asked:
        url = url.set(query={"host": asked["host"]})
    return url.set(
        username=asked.get("user", url.username),
        password=asked.get("password", url.password),
        database=asked.get("dbname", url.database),
    )


def _read(database_url: Secret) -> tuple[SplitResult, dict[str, str]]:
    """The parts of the URL, and what its parameters ask for, by libpq's names."""
    try:
        parts = urlsplit(database_url.reveal())
        # Unlike in a form, a plus sign is one.
        query = parts.query.replace("+", "%2B")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _no_address() from None
    if parts.scheme.partition("+")[0] not in {"postgresql", "postgres"} or parts.fragment:
        raise _no_address()
    for host in parts.netloc.rpartition("@")[2].split(","):
        if _HOST.fullmatch(host) is None:
            raise _no_address()
    return parts, _asked(pairs)


def _asked(query: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters by libpq's names; the last of several counts."""
    asked: dict[str, str] = {}
    for given, value in query:
        name = _OTHER_NAMES.get(given, given)
        if name in _WITHOUT_EFFECT:
            if value not in _WITHOUT_EFFECT[name]:
                allowed = " or ".join(sorted(_WITHOUT_EFFECT[name]))
                msg = f"{_SETTING}: {given} must be {allowed}; asyncpg, the driver, can't do what else it asks for"
                raise SettingsError(msg)
            continue
        if name not in _DRIVERS | _OURS:
            msg = f"{_SETTING}: the parameter {_shown(given)} is not one that can be given; take it out of the address"
            raise SettingsError(msg)
        if name in _CHOICES and value not in _CHOICES[name]:
            msg = f"{_SETTING}: {given} must be one of {', '.join(_CHOICES[name])}"
            raise SettingsError(msg)
        if name == "port" and not re.fullmatch(r"[0-9]{1,5}(?:,[0-9]{1,5})*", value):
            msg = f"{_SETTING}: port must be a number"
            raise SettingsError(msg)
        asked[name] = value
    return asked


def _shown(name: str) -> str:
    """A parameter's name, if it looks like one: a password with an ampersand in it would leave its rest there."""
    return name if re.fullmatch(r"[a-z][a-z_]{1,40}", name) else "behind the question mark"


def _timeout(text: str | None) -> float:
    if text is None:
        return CONNECT_TIMEOUT_S
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _LONGEST_TIMEOUT_S:
        msg = f"{_SETTING}: connect_timeout must be a whole number of seconds from 1 to {_LONGEST_TIMEOUT_S}"
        raise SettingsError(msg)
    return float(text)


def _check_files(asked: Mapping[str, str]) -> None:
    for name in _FILES:
        path = asked.get(name)
        if path is None:
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            msg = f"{_SETTING}: {name}: {path} can't be read: {error.strerror}"
            raise SettingsError(msg) from None


def _system_tls(asked: dict[str, str]) -> ssl.SSLContext:
    """A context for `sslrootcert=system`: the roots that this host trusts. As with libpq, names are checked then."""
    del asked["sslrootcert"]
    if asked.setdefault("sslmode", "verify-full") != "verify-full":
        msg = f"{_SETTING}: sslrootcert=system goes with sslmode=verify-full alone"
        raise SettingsError(msg)
    _check_files(asked)
    context = ssl.create_default_context()
    certificate, key, password = (asked.pop(name, None) for name in ("sslcert", "sslkey", "sslpassword"))
    if certificate is not None:
        try:
            # A password is always given: OpenSSL would ask the terminal for one.
            context.load_cert_chain(certificate, key, password or "")
        except (OSError, ssl.SSLError):
            msg = f"{_SETTING}: sslcert and sslkey do not hold a certificate and its key"
            raise SettingsError(msg) from None
    for name in ("sslmode", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version"):
        if asked.pop(name, "verify-full") != "verify-full":
            msg = f"{_SETTING}: {name} does not go with sslrootcert=system"
            raise SettingsError(msg)
    return context


def _no_address() -> SettingsError:
    return SettingsError(
        f"{_SETTING}: not a database address; expected postgresql://user:password@host/name, with characters such as"
        " / ? # @ of user and password percent-encoded"
    )
