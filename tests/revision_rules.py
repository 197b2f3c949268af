"""What a revision may not do to a table that is in use: what locks it for long, or breaks the release before (docs/how-to/upgrade.md)."""

import io
import re
from collections.abc import Iterator
from types import ModuleType

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tokenkeep.adapters.postgres.migrate import alembic_config

HOT = (
    "accounts",
    "account_identities",
    "audit_log",
    "credentials",
    "events",
    "imported_grants",
    "inbox_events",
    "leases",
    "outbox",
    "receipts",
    "refresh_attempts",
    "webhook_deliveries",
)
"""The tables that grow with the fleet, or that every refresh, request or event writes to."""

_HOT = rf'(?:ONLY\s+)?(?:public\.)?"?(?P<table>{"|".join(HOT)})"?\b'
_ALTER = rf"^ALTER TABLE (?:IF EXISTS )?{_HOT}.*\b"

_RULES = (
    (rf"^DROP TABLE (?:IF EXISTS )?{_HOT}", "drops a table that the release before uses"),
    (_ALTER + r"DROP COLUMN\b", "drops a column that the release before uses"),
    (_ALTER + r"RENAME\b", "renames what the release before knows by its name"),
    (_ALTER + r"ALTER COLUMN \S+ (?:SET DATA )?TYPE\b", "rewrites the table under a lock that stops everybody"),
    (_ALTER + r"ALTER COLUMN \S+ SET NOT NULL", "reads the table under a lock that stops everybody, and refuses the release before"),
    (_ALTER + r"ALTER COLUMN \S+ DROP DEFAULT", "takes the default that the release before relies on"),
    (_ALTER + r"ADD COLUMN (?!.*\bDEFAULT\b).*\bNOT NULL\b", "refuses what the release before writes: it does not know the column"),
    (_ALTER + r"ADD COLUMN .*\bDEFAULT\b[^,]*\(", "rewrites the table: the default is another one for each row"),
    (_ALTER + r"ADD (?:CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)\b(?!.*\bNOT VALID\b)(?!.*\bUSING INDEX\b)", "reads the table under a lock that stops everybody"),
    (rf"^CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY\b).*\bON {_HOT}", "stops every writer until the index is built"),
    (r"^DROP INDEX (?!CONCURRENTLY\b)", "waits for everybody and stops everybody meanwhile"),
    (rf"^LOCK TABLE {_HOT}", "stops everybody"),
    (rf"^(?:UPDATE|DELETE FROM|TRUNCATE(?: TABLE)?) {_HOT}", "writes to all rows in one transaction"),
)  # fmt: skip
_COMPILED = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), why) for pattern, why in _RULES]


def complaints(sql: str) -> Iterator[str]:
    """What is against the rules in these statements, each with the statement's beginning. A table that they make is nobody's yet."""
    without_comments = re.sub(r"--[^\n]*", "", sql)
    statements = [" ".join(raw.split()) for raw in without_comments.split(";")]
    if any(" CONCURRENTLY " in one for one in statements):
        alone = re.compile(r"$|BEGIN$|COMMIT$|SET lock_timeout\b|(?:CREATE (?:UNIQUE )?|DROP )INDEX CONCURRENTLY\b")
        for one in statements:
            if not alone.match(one):
                yield f"is done again if the index beside it is broken off: {one[:100]}"
    made = set(re.findall(r"\bCREATE TABLE (?:IF NOT EXISTS )?\"?(\w+)", without_comments))
    for statement in statements:
        for pattern, why in _COMPILED:
            found = pattern.search(statement)
            if found is not None and found.groupdict().get("table") not in made:
                yield f"{why}: {statement[:100]}"


def last_change_of_a_hot_table() -> str:
    """The newest revision that changes a table which was there before it; not how it is stored, which no release notices."""
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():  # the newest first
        sql = sql_of(script.module)
        if re.search(rf"^ALTER TABLE {_HOT} (?!SET \()", sql, re.IGNORECASE | re.MULTILINE):
            return script.revision
    msg = "no revision changes such a table"
    raise AssertionError(msg)


def sql_of(module: ModuleType) -> str:
    """What a revision does to a database, as SQL. Nothing is connected to."""
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        module.upgrade()
    return written.getvalue()
