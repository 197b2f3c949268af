"""What Redis or Valkey says of itself, asked as one of our processes would be answered."""

import ipaddress
import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from tokenkeep.application.checkup.clocks import ClockReading
from tokenkeep.application.checkup.redis import RedisFacts
from tokenkeep.domain.secret import Secret

_CLOCK_LOOKS: Final = 5
_PROBE: Final = "tokenkeep:probe"


async def read_redis_facts(client: "redis.asyncio.Redis", url: Secret) -> RedisFacts:
    """What the server says of itself. `url`: how it was reached.

    Raises:
        RedisError: It can't be had, or refuses to say.
        OSError: It can't be reached.
    """
    info: Mapping[str, Any] = await client.info("everything")
    valkey = "valkey_version" in info
    parts = urlsplit(url.reveal())
    by_sentinel = parts.scheme == "redis+sentinel"
    return RedisFacts(
        product="Valkey" if valkey else "Redis",
        version=str(info.get("valkey_version") or info["redis_version"]),
        compatible=tuple(int(part) for part in re.findall(r"\d+", str(info["redis_version"]))[:3]),
        encrypted=parts.scheme == "rediss",
        local=not by_sentinel and (parts.scheme == "unix" or _is_loopback(parts.hostname)),
        clock=[await _clock(client) for _ in range(_CLOCK_LOOKS)],
        role=str(info.get("role", "master")),
        by_sentinel=by_sentinel,
        clustered=bool(info.get("cluster_enabled", 0)),
        loading=bool(info.get("loading", 0)),
        policy=info.get("maxmemory_policy"),
        used_bytes=int(info.get("used_memory", 0)),
        most_bytes=int(info.get("maxmemory", 0)),
        appendonly=None if "aof_enabled" not in info else bool(info["aof_enabled"]),
        snapshots=await _snapshots(client),
        last_save_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        last_append_ok=info.get("aof_last_write_status", "ok") == "ok",
        writes=await _refusal(client),
    )


async def _clock(client: "redis.asyncio.Redis") -> ClockReading:
    before = time.time()
    seconds, microseconds = await client.time()
    return ClockReading(before, seconds + microseconds / 1e6, time.time())


async def _snapshots(client: "redis.asyncio.Redis") -> bool | None:
    """Managed servers let nobody read their configuration."""
    try:
        found = await client.config_get("save")
    except ResponseError:
        return None
    return bool(found.get("save")) if found else None


async def _refusal(client: "redis.asyncio.Redis") -> str | None:
    """The kind of error by which a write like the worker's own was refused."""
    try:
        await client.set(_PROBE, b"", px=1000)
    except (RedisError, OSError) as error:
        return type(error).__name__
    return None


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
