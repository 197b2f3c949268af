"""What is asked of Redis or Valkey, and what follows from its answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenkeep.application.checkup.clocks import ClockReading, judge_clock
from tokenkeep.application.checkup.findings import Finding, fault, ok, unseen, warning

_OLDEST = (6, 2)
_FULL = 0.8


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """A server as our own connection sees it.

    `product`: `Redis` or `Valkey`. `compatible`: the version of Redis whose commands it has. `policy`, `appendonly`: None if it does
    not say. `snapshots`: whether it writes them by itself; None if it may not be asked. `writes`: None, or by what error a write
    was refused. `most_bytes`: 0 where nothing bounds it.
    """

    product: str
    version: str
    compatible: tuple[int, ...]
    encrypted: bool
    local: bool
    clock: Sequence[ClockReading]
    role: str
    by_sentinel: bool
    clustered: bool
    loading: bool
    policy: str | None
    used_bytes: int
    most_bytes: int
    appendonly: bool | None
    snapshots: bool | None
    last_save_ok: bool
    last_append_ok: bool
    writes: str | None


def judge_redis(facts: RedisFacts) -> list[Finding]:
    """Everything about the server."""
    return [
        _version(facts),
        _encryption(facts),
        _writable(facts),
        _topology(facts),
        judge_clock("redis.clock", facts.product, facts.clock),
        _eviction(facts),
        _memory(facts),
        *_persistence(facts),
    ]


def _version(facts: RedisFacts) -> Finding:
    saw = f"{facts.product} {facts.version}"
    if facts.compatible < _OLDEST:
        return fault(
            "redis.version", saw, "go to Redis 6.2 or newer, or to Valkey: streams are taken over by XAUTOCLAIM"
        )
    return ok("redis.version", saw)


def _encryption(facts: RedisFacts) -> Finding:
    if facts.encrypted:
        return ok("redis.encryption", "the connection is encrypted")
    if facts.local:
        return ok("redis.encryption", "the connection stays on this host, and is not encrypted")
    return warning(
        "redis.encryption",
        "the connection goes over a network and is not encrypted",
        "use rediss:// in TOKENKEEP_REDIS_URL: no token goes there, but ids of accounts, events and the password do",
    )


def _writable(facts: RedisFacts) -> Finding:
    check = "redis.writable"
    if facts.loading:
        return fault(
            check, "it is loading its data and answers nothing yet", "wait; refreshes go on without it, more slowly"
        )
    if facts.role != "master":
        return fault(
            check,
            "this is a replica, which takes no writes",
            "name the primary in TOKENKEEP_REDIS_URL, or the Sentinels (redis+sentinel://)",
        )
    if facts.writes is not None:
        return fault(
            check,
            f"a write was refused ({facts.writes})",
            "give the user of TOKENKEEP_REDIS_URL all commands on the keys tokenkeep:*; if it is full, give it memory",
        )
    return ok(check, "a primary that takes writes")


def _topology(facts: RedisFacts) -> Finding:
    check = "redis.topology"
    if facts.clustered:
        return fault(
            check,
            "it runs in cluster mode",
            "use a standalone server, or Sentinel: scripts touch keys of several slots",
        )
    if facts.by_sentinel:
        return ok(check, "found through Sentinel")
    return ok(
        check, "a standalone server; it may be lost without loss of a token, and events wait in the database for it"
    )


def _eviction(facts: RedisFacts) -> Finding:
    check = "redis.eviction"
    if facts.policy is None:
        return unseen(check, "the server does not tell its maxmemory-policy")
    if facts.policy == "noeviction":
        return ok(check, "maxmemory-policy is noeviction")
    return fault(
        check,
        f"maxmemory-policy is {facts.policy}: a full server throws away events that are not read yet, queues and locks, and tells nobody",
        "set maxmemory-policy noeviction; use another server for caches",
    )


def _memory(facts: RedisFacts) -> Finding:
    check, used = "redis.memory", facts.used_bytes / 2**20
    if facts.most_bytes == 0:
        return ok(check, f"{used:,.0f} MiB used; no maxmemory is set")
    share = facts.used_bytes / facts.most_bytes
    saw = f"{used:,.0f} MiB of {facts.most_bytes / 2**20:,.0f} used ({share:.0%})"
    if share >= _FULL:
        return warning(check, saw, "raise maxmemory, or lower TOKENKEEP_STREAM_MAX_ENTRIES (about 1 KB each)")
    return ok(check, saw)


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    check = "redis.persistence"
    if facts.appendonly:
        yield ok(check, "an append-only file is kept")
    elif facts.snapshots is None:
        yield unseen(check, "there is no append-only file, and the server does not tell whether it writes snapshots")
    else:
        kept = "snapshots alone are kept" if facts.snapshots else "nothing is kept over a restart"
        yield warning(
            check,
            f"{kept}: after a crash of it, consumer groups stand where they stood then, and events that were on the stream may be gone from it",
            "set appendonly yes; no token is lost either way, and the API tells all events of the last 30 days",
        )
    if not facts.last_append_ok or not facts.last_save_ok:
        yield fault(
            "redis.disk",
            "its last write to disk failed",
            "look at the server's log: its disk is full or not writable, and it may refuse writes",
        )
    else:
        yield ok("redis.disk", "its last write to disk went well")
