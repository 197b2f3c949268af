"""Where a URL leads: scheme, host and port, read strictly."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2048
_LONGEST_NAME = 253
_HIGHEST_PORT = 65_535
# What RFC 3986 lets a URL consist of. Anything else (blanks, control characters, backslashes) is read differently by
# different parsers, which is how a check and a connection come to disagree.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class MalformedUrl(ValueError):
    """A text that is no URL we would follow. The message says what is wrong and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454): what a connection belongs to. `host` is lower-case, IPv6 without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> IPAddress | None:
        """The IP address that the host spells out; None for a name."""
        return literal_address(self.host)

    @property
    def authority(self) -> str:
        """The host header's value: the port is left out where the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def literal_address(host: str) -> IPAddress | None:
    """The address that a host spells out in its canonical form; None for anything else."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def split_url(url: str) -> tuple[Origin, str]:
    """A URL's origin, and the request target (path and query) that is asked of it.

    Raises:
        MalformedUrl: It is not an absolute http or https URL of printable ASCII, or it has userinfo, a fragment, or a
            host or port that can't be.
    """
    if len(url) > _LONGEST_URL:
        msg = f"longer than {_LONGEST_URL} characters"
        raise MalformedUrl(msg)
    if not _URL.fullmatch(url):
        msg = "has characters that a URL can't have; write names in their ASCII form (xn--…)"
        raise MalformedUrl(msg)
    try:
        parts = urlsplit(url)
    except ValueError:
        msg = "is not a URL"
        raise MalformedUrl(msg) from None
    if parts.scheme not in _DEFAULT_PORTS:
        msg = "the scheme must be https"
        raise MalformedUrl(msg)
    if "@" in parts.netloc:
        msg = "must not have a user name or password"
        raise MalformedUrl(msg)
    if "#" in url:
        msg = "must not have a fragment"
        raise MalformedUrl(msg)
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None:
        msg = "has no valid host and port"
        raise MalformedUrl(msg)
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[parts.scheme]
    if not 0 < port <= _HIGHEST_PORT:
        msg = f"the port must be from 1 to {_HIGHEST_PORT}"
        raise MalformedUrl(msg)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, _host(found["host"]), port), target


def _host(text: str) -> str:
    """A host in the one spelling that we use."""
    host = text.lower()
    if host.startswith("["):
        address = literal_address(host[1:-1])
        if not isinstance(address, IPv6Address):
            msg = "has a malformed IPv6 address"
            raise MalformedUrl(msg)
        return str(address)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]) and literal_address(host) is None:
        # `2130706433`, `0x7f.1`, `0177.0.0.1` and `127.1` are all 127.0.0.1 to a C library.
        msg = "an IPv4 address is written as four decimal numbers without leading zeros"
        raise MalformedUrl(msg)
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        msg = "has a malformed host name"
        raise MalformedUrl(msg)
    return host
