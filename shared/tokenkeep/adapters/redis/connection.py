"""Connections to Redis, by the address in the settings."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_SENTINEL_SCHEME = "redis+sentinel"
_SENTINEL_PORT = 26379
_SOCKET_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """`redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int
    username: str | None
    password: Secret | None


def connect(url: Secret) -> "redis.asyncio.Redis":
    """An asyncio client that connects on first use.

    Raises:
        SettingsError: The address can't be understood.
    """
    try:
        if urlsplit(url.reveal()).scheme == _SENTINEL_SCHEME:
            at = parse_sentinel(url)
            sentinel: Any = AsyncSentinel  # redis-py leaves the class untyped
            client: redis.asyncio.Redis = sentinel(list(at.sentinels), socket_timeout=_SOCKET_TIMEOUT_S).master_for(
                at.service, **_login(at)
            )
            return client
        return redis.asyncio.Redis.from_url(
            url.reveal(), socket_timeout=_SOCKET_TIMEOUT_S, socket_connect_timeout=_SOCKET_TIMEOUT_S
        )
    except ValueError:
        raise SettingsError(_UNUSABLE) from None


def connect_blocking(url: Secret) -> "redis.Redis":
    """A blocking client, for dramatiq's threads; a call that gets no answer for 5 s fails.

    Raises:
        SettingsError: The address can't be understood.
    """
    try:
        if urlsplit(url.reveal()).scheme == _SENTINEL_SCHEME:
            at = parse_sentinel(url)
            blocking: Any = Sentinel  # redis-py leaves the class untyped
            client: redis.Redis = blocking(list(at.sentinels), socket_timeout=_SOCKET_TIMEOUT_S).master_for(
                at.service, **_login(at)
            )
            return client
        return redis.Redis.from_url(
            url.reveal(), socket_timeout=_SOCKET_TIMEOUT_S, socket_connect_timeout=_SOCKET_TIMEOUT_S
        )
    except ValueError:
        raise SettingsError(_UNUSABLE) from None


_UNUSABLE = "TOKENKEEP_REDIS_URL: expected redis://, rediss://, unix:// or redis+sentinel://host:port/service"


def parse_sentinel(url: Secret) -> SentinelAddress:
    """The parts of a Sentinel address.

    Raises:
        SettingsError: A part is missing.
    """
    parts = urlsplit(url.reveal())
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    path = [piece for piece in parts.path.split("/") if piece]
    if not hosts or not path:
        raise SettingsError(_UNUSABLE)
    sentinels = []
    for entry in hosts.split(","):
        host, _, port = entry.partition(":")
        sentinels.append((host, int(port) if port else _SENTINEL_PORT))
    db = path[1] if len(path) > 1 else parse_qs(parts.query).get("db", ["0"])[0]
    return SentinelAddress(
        sentinels=tuple(sentinels),
        service=path[0],
        db=int(db),
        username=unquote(username) or None,
        password=Secret(unquote(password)) if password else None,
    )


def _login(at: SentinelAddress) -> dict[str, object]:
    return {
        "db": at.db,
        "username": at.username,
        "password": None if at.password is None else at.password.reveal(),
        "socket_timeout": _SOCKET_TIMEOUT_S,
    }
