"""Whether the API can listen where it is told to, and whether it answers there."""

import asyncio
import errno
import socket
import time
from collections.abc import Callable

import httpx

from tokenkeep.domain.errors import SettingsError

_PATIENCE_S = 8.0
"""Longer than the children of a killed `up` take to go (`parent_watch.GRACE_S`)."""
_POLL_S = 0.2
_ANSWER_S = 5.0
_REMIND_S = 30.0
_PORTS_TRIED = 64
_HIGHEST_PORT = 65_535
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # read, not bound


async def free_port(host: str, port: int) -> int:
    """The port if it is free, waiting a little for it to become so; for 0, a free one.

    Raises:
        SettingsError: It stays taken, or the host is none of this machine's.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                msg = f"TOKENKEEP_API_HOST: {host} can't be listened on, port {port}: {error.strerror}"
                raise SettingsError(msg) from None
        if time.monotonic() > deadline:
            msg = f"TOKENKEEP_API_PORT: port {port} is in use by another program"
            raise SettingsError(msg)
        await asyncio.sleep(_POLL_S)


def free_ports(host: str, first: int, count: int, *, but: int) -> list[int]:
    """So many ports that are free now, from `first` up; any, if it is 0.

    Args:
        host: Where they are to be listened on.
        first: The lowest one.
        count: How many.
        but: One that is somebody else's already.

    Raises:
        SettingsError: There are not so many, or the host is none of this machine's.
    """
    candidates = iter(range(first, min(first + _PORTS_TRIED, _HIGHEST_PORT + 1)))
    found: list[int] = []
    while len(found) < count:
        port = next(candidates, None)
        if port is None:
            msg = f"TOKENKEEP_METRICS_PORT: there are no {count} free ports from {first} up"
            raise SettingsError(msg)
        try:
            bound = _bound(host, port if first else 0)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                msg = f"TOKENKEEP_METRICS_PORT: {host} can't be listened on, port {port}: {error.strerror}"
                raise SettingsError(msg) from None
            continue
        if bound != but and bound not in found:
            found.append(bound)
    return found


def local_url(host: str, port: int) -> str:
    """Where a program on this machine reaches a server that listens on this host."""
    reachable = _EVERYWHERE.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


async def until_ready(url: str, *, reminder: Callable[[str], None]) -> None:
    """Wait, however long it takes, until `url`/readyz answers 200; every half minute a line says what is waited for."""
    remind_at = time.monotonic() + _REMIND_S
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
        while not await _is_ready(client, url):
            if time.monotonic() > remind_at:
                reminder(f"still waiting for {url}/readyz to answer 200")
                remind_at += _REMIND_S
            await asyncio.sleep(_POLL_S)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _bound(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        bound: int = listener.getsockname()[1]
        return bound
