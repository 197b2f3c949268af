"""Where a request came from. What a header says of it counts only if a proxy wrote it that the operator trusts."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

_FORWARDED = b"x-forwarded-for"
_MOST_HOPS = 32
_SUBSCRIBER_BITS = 64

Address = IPv4Address | IPv6Address


class ClientAddresses:
    """The address that a request came from, seen past trusted proxies.

    Each proxy puts the address of whoever asked it at the right end of `X-Forwarded-For`; all to the left of that may be
    made up. So the list is read from the right, for as long as trusted proxies wrote it. uvicorn's own middleware reads the
    last of several such headers only, and believes what is no address.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = tuple(ip_network(network, strict=False) for network in trusted)

    def __call__(self, scope: Scope) -> str | None:
        """The address, in its usual form; None where there is none, as on a Unix socket."""
        client = scope.get("client")
        peer: str | None = client[0] if client else None
        if not peer or not self._trusted:
            return peer or None
        seen = _read(peer)
        if seen is None or not self._trusts(seen):
            return peer
        told = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED)
        for hop in reversed(told.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            address = _read(hop)
            if address is None:  # nobody knows who wrote what stands to the left of this
                break
            seen = address
            if not self._trusts(address):
                break
        return str(seen)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def neighbourhood(address: str | None) -> str:
    """What one subscriber has of addresses: an IPv4 address, or the 64 bits of an IPv6 network."""
    read = None if address is None else _read(address)
    if isinstance(read, IPv6Address):
        return str(IPv6Network((int(read), _SUBSCRIBER_BITS), strict=False))
    return str(read)


def _read(text: str) -> Address | None:
    """An address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`. One of IPv4 in IPv6's clothes is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
