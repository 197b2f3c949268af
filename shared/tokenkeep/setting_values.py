"""How the value of a setting is read: functions that take what the environment says and give what is meant, and types that are read so.

A `ValueError` says what the value must be ("must be a whole number ..."); the setting's name is put before it by
`settings`. No message quotes the value.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator, PlainValidator

from tokenkeep.domain.secret import Secret

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
_STORE = re.compile(r"[a-z][a-z0-9_+-]{0,39}:[!-~]{1,500}")
_MASK = "***"
_SECRET_PARAMETERS = frozenset({"password", "passwd", "sslpassword"})


def whole_number(lowest: int, highest: int) -> Callable[[object], int]:
    """A reader of whole numbers between two bounds, both included."""

    def read(value: object) -> int:
        text = str(value).strip()
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not lowest <= int(text) <= highest:
            msg = f"must be a whole number from {lowest} to {highest}"
            raise ValueError(msg)
        return int(text)

    return read


def number_of_seconds(value: object) -> float:
    """A time span in seconds, above 0 and at most a day."""
    day = 86_400
    text = str(value).strip()
    if not re.fullmatch(r"[0-9]{1,5}(?:\.[0-9]{1,6})?|\.[0-9]{1,6}", text) or not 0 < float(text) <= day:
        msg = f"must be a number of seconds above 0 and at most {day}"
        raise ValueError(msg)
    return float(text)


def span_or_none(value: object) -> float:
    """As `number_of_seconds`, or 0."""
    if re.fullmatch(r"0(?:\.0{1,6})?", str(value).strip()):
        return 0.0
    try:
        return number_of_seconds(value)
    except ValueError:
        msg = "must be a number of seconds from 0 to 86400"
        raise ValueError(msg) from None


def choice(*allowed: str) -> Callable[[object], str]:
    """A reader of one word out of a few; capitals don't matter."""

    def read(value: object) -> str:
        word = str(value).strip().lower()
        if word not in allowed:
            msg = f"must be one of {', '.join(allowed)}"
            raise ValueError(msg)
        return word

    return read


def yes_or_no(value: object) -> bool:
    """A switch: 1, true, yes or on; 0, false, no or off."""
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    msg = "must be 1 or 0"
    raise ValueError(msg)


def secret(value: object) -> Secret:
    """A text that is not to be shown."""
    return value if isinstance(value, Secret) else Secret(str(value).strip())


def secret_url(*schemes: str) -> Callable[[object], Secret]:
    """A reader of URLs that may hold a password, in one of the given schemes."""

    def read(value: object) -> Secret:
        url = secret(value)
        parts = _split(url.reveal())
        if parts is None or parts.scheme not in schemes or not (parts.netloc or parts.path.strip("/") or parts.query):
            msg = f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
            raise ValueError(msg)
        return url

    return read


def base_url(value: object) -> str:
    """An http(s) URL that paths are put behind: no query, no fragment, no user; its last slash is taken away."""
    parts = _split(str(value).strip())
    if (
        parts is None
        or parts.scheme not in {"http", "https"}
        or not _can_be_reached(parts)
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        msg = "must be a URL such as https://tokenkeep.example.com"
        raise ValueError(msg)
    return urlunsplit(parts).rstrip("/")


def host_list(value: object) -> tuple[str, ...]:
    """Hosts, addresses or CIDRs, separated by commas."""
    entries = value.split(",") if isinstance(value, str) else _entries(value)
    hosts = tuple(entry.strip().lower() for entry in entries if entry.strip())
    for host in hosts:
        if not _is_host_or_network(host):
            msg = "must be hosts, IP addresses or CIDRs such as 10.0.0.0/8, separated by commas"
            raise ValueError(msg)
    return hosts


def network_list(value: object) -> tuple[str, ...]:
    """IP addresses or CIDRs, separated by commas."""
    networks = host_list(value)
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            msg = "must be IP addresses or CIDRs such as 10.0.0.0/8, separated by commas"
            raise ValueError(msg) from None
    return networks


def store_kind(value: str) -> str:
    """What names a credential store: a kind, and behind a colon what it wants."""
    text = value.strip()
    if text != "postgres" and not _STORE.fullmatch(text):
        msg = (
            "must be postgres, directory:/path, vault+https://host:8200/mount/path, or KIND:REST of an installed store"
        )
        raise ValueError(msg)
    return text


def store_kinds(value: object) -> tuple[str, ...]:
    """Credential stores, separated by commas."""
    entries = value.split(",") if isinstance(value, str) else _entries(value)
    return tuple(store_kind(entry) for entry in entries if entry.strip())


def key_services(value: object) -> tuple[str, ...]:
    """Keys of key services, separated by commas: `aws-kms:…`, `gcp-kms:…`, `vault-transit+https://…`."""
    entries = value.split(",") if isinstance(value, str) else _entries(value)
    named = tuple(entry.strip() for entry in entries if entry.strip())
    if not all(_STORE.fullmatch(text) for text in named):
        msg = "must be aws-kms:ARN, gcp-kms:projects/…/cryptoKeys/… or vault-transit+https://host/mount/key"
        raise ValueError(msg)
    return named


def expanded_path(path: Path) -> Path:
    """The path with `~` put in full."""
    try:
        return path.expanduser()
    except RuntimeError:
        msg = "must be a path; the home directory it names is not known"
        raise ValueError(msg) from None


def directory(path: Path) -> Path:
    """The path of a directory that exists."""
    expanded = expanded_path(path)
    if not expanded.is_dir():
        msg = "must be a directory that exists"
        raise ValueError(msg)
    return expanded


def redacted_url(url: Secret | str) -> str:
    """The URL with its passwords masked, fit for a log or a terminal."""
    text = url.reveal() if isinstance(url, Secret) else url
    parts = _split(text)
    if parts is None:
        return _MASK
    user_info, at, hosts = parts.netloc.rpartition("@")
    if at:
        user, colon, _ = user_info.partition(":")
        hosts = f"{user}{colon}{_MASK if colon else ''}@{hosts}"
    query = urlencode(
        [
            (name, _MASK if name.lower() in _SECRET_PARAMETERS else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ],
        safe="*/:,",
        quote_via=quote,
    )
    return f"{parts.scheme}://{hosts}{parts.path}{'?' if query else ''}{query}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts if parts.scheme else None


def _can_be_reached(parts: SplitResult) -> bool:
    try:
        return bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:  # the port is no number, or a name's part is empty or too long
        return False


def _entries(value: object) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [str(entry) for entry in value]
    msg = "must be hosts or CIDRs, separated by commas"
    raise ValueError(msg)


def _is_host_or_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        # A name of digits and dots only is an address with a slip in it, not a host.
        return _HOST_NAME.fullmatch(text) is not None and not re.fullmatch(r"[0-9.]+", text)
    return True


Port = Annotated[int, BeforeValidator(whole_number(0, 65535))]
Seconds = Annotated[float, BeforeValidator(number_of_seconds)]
Batch = Annotated[int, BeforeValidator(whole_number(1, 10_000))]
Rate = Annotated[int, BeforeValidator(whole_number(0, 1_000_000))]
Count = Annotated[int, BeforeValidator(whole_number(1, 1_000))]
SecretText = Annotated[Secret, PlainValidator(secret)]
DatabaseUrl = Annotated[Secret, PlainValidator(secret_url("postgresql", "postgres"))]
RedisUrl = Annotated[Secret, PlainValidator(secret_url("redis", "rediss", "unix", "redis+sentinel"))]
LogFormat = Annotated[Literal["json", "console"], BeforeValidator(choice("json", "console"))]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error", "critical"],
    BeforeValidator(choice("debug", "info", "warning", "error", "critical")),
]
