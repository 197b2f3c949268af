"""Which addresses we connect to: public ones, and those that the operator has named.

URLs come from developers who configure sources, so without this check a token endpoint could be a cloud's metadata
service or the database next door (OWASP: server-side request forgery). A name is resolved once, every address is
checked, and the connection goes to a checked address: there is no second look-up that could answer differently.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeGuard

from tokenkeep.adapters.token_endpoint.look_ups import LookUp, look_up_by_the_loop
from tokenkeep.adapters.token_endpoint.origin import IPAddress, MalformedUrl, Origin, literal_address, split_url
from tokenkeep.domain.errors import ForbiddenAddress, InvalidInput, SettingsError

_SETTING = "TOKENKEEP_ALLOW_PRIVATE_HOSTS"

# Names that never lead to the public internet: RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`, and common usage.
_PRIVATE_NAMES = ("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan")
_PRIVATE_SUFFIXES = (*(f".{name}" for name in _PRIVATE_NAMES), ".home.arpa")

# Not private by the registries, or not in every Python's copy of them, and yet nothing that a provider answers at.
_UNWANTED_V4 = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890); a cloud's metadata service sits at 192.0.0.192
    IPv4Network("192.88.99.0/24"),  # 6to4 relay anycast, withdrawn (RFC 7526)
    IPv4Network("168.63.129.16/32"),  # Azure's host agent: routable by its number, answered by the hypervisor
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_UNWANTED_V6 = (
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, ORCHID and the like (RFC 2928)
    IPv6Network("2001:db8::/32"),  # documentation (RFC 3849)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class ResolvedAddress:
    """A checked address, as `loop.sock_connect` wants it."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


class AddressPolicy:
    """Refuses every address that is not public, unless the operator has allowed it.

    `allow` holds host names and addresses or CIDRs (the setting TOKENKEEP_ALLOW_PRIVATE_HOSTS). A host that is allowed
    by name may resolve to anything; an address that is allowed may be what any name resolves to.

    Raises:
        SettingsError: An entry is neither a host name nor a CIDR.
    """

    __slots__ = ("_names", "_networks")

    def __init__(self, allow: Sequence[str] = ()) -> None:
        names: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for entry in filter(None, (text.strip().lower() for text in allow)):
            try:
                networks.append(ip_network(entry.strip("[]")))
            except ValueError:
                names.add(_checked_name(entry))
        self._names = frozenset(names)
        self._networks = tuple(networks)

    def refuses(self, ip: IPAddress | str) -> bool:
        """Whether we may not connect to this address. An IPv4 address inside an IPv6 one is judged as itself.

        Raises:
            ValueError: A text that is no address.
        """
        address = _unwrapped(ip_address(ip) if isinstance(ip, str) else ip)
        allowed = any(address in network for network in self._networks)
        return not allowed and not _is_public(address)

    def allows_host(self, host: str) -> bool:
        """Whether the operator has named this host, or the address that it spells out."""
        address = literal_address(host)
        if address is None:
            return host.lower() in self._names
        address = _unwrapped(address)
        return any(address in network for network in self._networks)


def _checked_name(entry: str) -> str:
    """A host name of the setting."""
    try:
        origin, _ = split_url(f"https://{entry}/")
    except MalformedUrl:
        origin = None
    if origin is None or origin.host != entry:
        msg = f"{_SETTING}: {entry!r} is neither a host name nor an address or CIDR"
        raise SettingsError(msg)
    return entry


def _unwrapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & _LOW_32_BITS)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPAddress) -> bool:
    """Whether an address is globally routable unicast."""
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST and not any(address in network for network in _UNWANTED_V6)
    return not any(address in network for network in _UNWANTED_V4)


def check_url(url: str, *, policy: AddressPolicy, field: str) -> None:
    """Whether requests may go to this URL, as far as that can be told without DNS.

    https everywhere; http only where the operator has allowed the host by name or its literal address. What a name
    resolves to is checked by `resolve`, at each connection.

    Raises:
        ForbiddenAddress: The host is an address, or a name, that is not public.
        InvalidInput: The URL is malformed, not https, or has userinfo or a fragment. `field` is named in both.
    """
    checked_origin(url, policy=policy, field=field)


def checked_origin(url: str, *, policy: AddressPolicy, field: str) -> Origin:
    """The origin of a URL that `check_url` lets pass; raises what that raises."""
    try:
        origin, _ = split_url(url)
    except MalformedUrl as fault:
        raise InvalidInput(field, str(fault)) from None
    if policy.allows_host(origin.host):
        return origin
    address = origin.address
    if policy.refuses(address) if address is not None else _is_private_name(origin.host):
        raise ForbiddenAddress(field, f"{origin.host} is not a public address")
    if origin.scheme != "https":
        raise InvalidInput(field, "the scheme must be https")
    return origin


def _is_private_name(host: str) -> bool:
    """A name that only a private network resolves. One without a dot is completed by the resolver's search list."""
    return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def _is_usable(sockaddr: tuple[Any, ...]) -> TypeGuard[tuple[str, int] | tuple[str, int, int, int]]:
    return isinstance(sockaddr[0], str)


async def resolve(
    host: str,
    port: int,
    *,
    policy: AddressPolicy,
    timeout_s: float,
    field: str = "url",
    look_up: LookUp = look_up_by_the_loop,
) -> list[ResolvedAddress]:
    """The addresses of a host, each of them checked, in the resolver's order.

    One address that is not allowed refuses the host: a public name with a private address among its records is an
    attack or a mistake, and picking the public ones would make it a matter of luck which.

    Raises:
        ForbiddenAddress: The host resolves to an address that is not public. `field` is named.
        TimeoutError: The resolver took longer than `timeout_s` seconds.
        OSError: The name does not resolve.
    """
    async with asyncio.timeout(timeout_s):
        try:
            found = await look_up(host, port)
        except UnicodeError:  # a label that is empty or too long never gets as far as the resolver
            msg = "the name is malformed"
            raise OSError(msg) from None
    # A sockaddr of another form comes only from a Python without IPv6, which can't connect to it either.
    addresses = [ResolvedAddress(family, sockaddr) for family, _, _, _, sockaddr in found if _is_usable(sockaddr)]
    if not addresses:
        msg = "the name has no address"
        raise OSError(msg)
    if not policy.allows_host(host) and any(policy.refuses(address.sockaddr[0]) for address in addresses):
        raise ForbiddenAddress(field, f"{host} does not resolve to public addresses only")
    return addresses
