"""What is asked of PostgreSQL, and what follows from its answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tokenkeep.application.checkup.clocks import ClockReading, judge_clock
from tokenkeep.application.checkup.findings import Finding, fault, ok, warning

_OLDEST = 130_000
_OLDEST_MAINTAINED = 15
_WRAPAROUND = 1_500_000_000
"""Transactions, of the 2.1 thousand million after which PostgreSQL stops taking any."""
_LONG_TRANSACTION_S = 900.0
_BESIDE_THE_POOL = {"api": 1, "scheduler": 1, "worker": 5}
"""Connections that a process opens besides its pool: for what it listens to, and for webhooks."""


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """A server as one of our own connections sees it.

    `settings`: by name, as in force on that connection. `available`: the connections that are left to our role. `missing`: tables,
    and the rights on them that the role lacks. `backends`: the server processes that answered, one after the other, on one
    connection. `oldest_s`: the age of the oldest transaction. `frozen_age`: of the database, in transactions.
    """

    version_num: int
    version: str
    encrypted: bool
    local: bool
    clock: Sequence[ClockReading]
    revision: str | None
    in_recovery: bool
    settings: Mapping[str, str]
    encoding: str
    available: int
    missing: Mapping[str, Sequence[str]]
    backends: Sequence[int]
    oldest_s: float
    frozen_age: int


def judge_postgres(facts: PostgresFacts, *, head: str, pool_size: int) -> list[Finding]:
    """Everything about the server. `head`: the revision that this code expects."""
    return [
        _version(facts),
        _encryption(facts),
        _writable(facts),
        judge_clock("postgres.clock", "PostgreSQL", facts.clock),
        _schema(facts, head),
        _privileges(facts),
        *_durability(facts),
        _pooler(facts),
        _connections(facts, pool_size),
        *_vacuum(facts),
        _encoding(facts),
    ]


def _version(facts: PostgresFacts) -> Finding:
    check, major = "postgres.version", facts.version_num // 10_000
    if facts.version_num < _OLDEST:
        return fault(
            check,
            f"PostgreSQL {facts.version}",
            "go to PostgreSQL 13 or newer, best to 18; older ones lack what is used",
        )
    if major < _OLDEST_MAINTAINED:
        return warning(
            check, f"PostgreSQL {facts.version}, which its makers no longer maintain", "go to a newer major version"
        )
    return ok(check, f"PostgreSQL {facts.version}")


def _encryption(facts: PostgresFacts) -> Finding:
    check = "postgres.encryption"
    if facts.encrypted:
        return ok(check, "the connection is encrypted")
    if facts.local:
        return ok(check, "the connection stays on this host, and is not encrypted")
    return warning(
        check,
        "the connection goes over a network and is not encrypted",
        "put sslmode=verify-full (and sslrootcert) into TOKENKEEP_DATABASE_URL: credentials are sealed, everything else can be read on the way",
    )


def _writable(facts: PostgresFacts) -> Finding:
    check = "postgres.writable"
    if facts.in_recovery:
        return fault(
            check,
            "this is a standby, which takes no writes",
            "name the primary in TOKENKEEP_DATABASE_URL, or all servers with target_session_attrs=primary",
        )
    if facts.settings["transaction_read_only"] == "on":
        return fault(
            check, "transactions are read-only here", "set default_transaction_read_only off for this role and database"
        )
    return ok(check, "a primary that takes writes")


def _schema(facts: PostgresFacts, head: str) -> Finding:
    check = "postgres.schema"
    if facts.revision is None:
        return fault(check, "there is no schema in this database", "run `tokenkeep migrate`")
    if facts.revision < head:
        return fault(
            check,
            f"the schema is at revision {facts.revision}; this release needs {head}",
            "run `tokenkeep migrate`; processes are not ready before",
        )
    if facts.revision > head:
        return ok(
            check,
            f"the schema is at revision {facts.revision}, that of a newer release than this one ({head}); one release back is fine",
        )
    return ok(check, f"the schema is at revision {facts.revision}, as this release needs it")


def _privileges(facts: PostgresFacts) -> Finding:
    check = "postgres.privileges"
    if not facts.missing:
        return ok(check, "the role may read and write every table")
    named = "; ".join(f"{table}: no {', '.join(rights)}" for table, rights in list(facts.missing.items())[:3])
    more = len(facts.missing) - 3
    return fault(
        check,
        named + (f"; and {more} tables more" if more > 0 else ""),
        "GRANT SELECT, INSERT, UPDATE, DELETE on all tables of the schema to the role, or let it own them",
    )


def _durability(facts: PostgresFacts) -> Iterator[Finding]:
    """A refresh token that the database forgets after it has said that it is committed is lost for good."""
    settings = facts.settings
    for name in ("fsync", "full_page_writes"):
        check = f"postgres.{name}"
        if settings[name] == "on":
            yield ok(check, f"{name} is on")
        else:
            yield fault(
                check,
                f"{name} is off: a crash of the machine loses refresh tokens, or the database",
                f"set {name} = on in the server's configuration",
            )
    check, level = "postgres.synchronous_commit", settings["synchronous_commit"]
    if level == "off":
        yield fault(
            check,
            "synchronous_commit is off on our own connections, though each asks for it",
            "have the pooler pass synchronous_commit on, or set it on for this role: a crash loses refresh tokens that were rotated just before",
        )
    else:
        yield ok(check, f"synchronous_commit is {level}")


def _pooler(facts: PostgresFacts) -> Finding:
    check = "postgres.pooler"
    if len(set(facts.backends)) > 1:
        return fault(
            check,
            "one connection was served by several of the server's processes: a pooler between gives each transaction another one",
            "use the pooler's session mode, or no pooler: LISTEN, prepared statements and session settings don't survive that",
        )
    wanted = {"TimeZone": "UTC", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "5s"}
    lost = [name for name, value in wanted.items() if facts.settings[name] != value]
    if lost:
        return warning(
            check,
            f"what each connection sets does not arrive: {', '.join(lost)}",
            "have the pooler pass startup parameters on (PgBouncer: take them out of ignore_startup_parameters)",
        )
    return ok(check, "every connection has a server process of its own, with our settings")


def _connections(facts: PostgresFacts, pool_size: int) -> Finding:
    check = "postgres.connections"
    each = {name: pool_size + beside for name, beside in _BESIDE_THE_POOL.items()}
    needed = sum(each.values())
    text = ", ".join(f"{name} {count}" for name, count in each.items())
    saw = f"{facts.available} connections are free for our role; at most each process takes: {text}"
    if facts.available < needed:
        return warning(
            check,
            saw,
            "raise max_connections (or the role's CONNECTION LIMIT), or lower TOKENKEEP_DATABASE_POOL_SIZE, unless all your processes are running already",
        )
    return ok(check, saw)


def _vacuum(facts: PostgresFacts) -> Iterator[Finding]:
    if facts.settings["autovacuum"] == "on" and facts.settings["track_counts"] == "on":
        yield ok("postgres.autovacuum", "autovacuum is on")
    else:
        yield fault(
            "postgres.autovacuum",
            "autovacuum is off: every refresh leaves old rows behind, and claims grow slow within hours",
            "set autovacuum and track_counts on",
        )
    if facts.oldest_s >= _LONG_TRANSACTION_S:
        yield warning(
            "postgres.transactions",
            f"a transaction has been open for {facts.oldest_s / 60:.0f} minutes: nothing can be cleaned up since, and events may wait for it",
            "find it in pg_stat_activity by xact_start, and end it",
        )
    else:
        yield ok("postgres.transactions", f"the oldest open transaction is {facts.oldest_s:.0f} s old")
    if facts.frozen_age >= _WRAPAROUND:
        yield fault(
            "postgres.wraparound",
            f"the oldest row is {facts.frozen_age:,} transactions old; at 2.1 thousand million the server takes no more writes",
            "VACUUM FREEZE the database now, and find out what keeps autovacuum from it",
        )
    else:
        yield ok("postgres.wraparound", f"the oldest row is {facts.frozen_age:,} transactions old")


def _encoding(facts: PostgresFacts) -> Finding:
    if facts.encoding == "UTF8":
        return ok("postgres.encoding", "the database's encoding is UTF8")
    return fault(
        "postgres.encoding",
        f"the database's encoding is {facts.encoding}",
        "make the database anew with ENCODING 'UTF8': names of users and what providers say do not fit into this one",
    )
