"""Connect sessions, and the grants that connect links lead to."""

from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.standings import ACCOUNT_COLUMNS, account_from
from tokenkeep.application.connect_sessions import BegunSession, Grant, Redemption, SealedVerifier
from tokenkeep.domain.connect_session import ConnectFailure, ConnectSession, StoredState
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SessionId, SourceId

_COLUMNS: Final = """
id, environment, source_id, account_id, created_by, external_id, metadata, properties, scopes, return_url, state,
failure_code, created_at, expires_at"""
_BARE: Final = "state_hash = NULL, browser_hash = NULL, key_id = NULL, wrapped_key = NULL, ciphertext = NULL"

_ADD = text("""
INSERT INTO connect_sessions
       (id, environment, source_id, account_id, created_by, link_hash, external_id, metadata, properties, scopes,
        return_url, created_at, expires_at)
VALUES (:id, :environment, :source_id, :account_id, :created_by, :link_hash, :external_id, CAST(:metadata AS jsonb),
        CAST(:properties AS jsonb), :scopes, :return_url, :created_at, :expires_at)
""")
_GET = text(f"SELECT {_COLUMNS} FROM connect_sessions WHERE id = :id AND environment = :environment")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM connect_sessions WHERE id = :id FOR UPDATE")  # noqa: S608 - our own names
_BY_LINK = text(f"SELECT {_COLUMNS} FROM connect_sessions WHERE link_hash = :hash FOR UPDATE")  # noqa: S608 - as above
_BY_STATE = text(f"""
SELECT {_COLUMNS}, browser_hash, key_id, wrapped_key, ciphertext, clock_timestamp() AS now
  FROM connect_sessions WHERE state_hash = :hash FOR UPDATE
""")  # noqa: S608 - only our own names are put in
_OPEN_OF = text(f"""
SELECT {_COLUMNS} FROM connect_sessions
 WHERE account_id = :account_id AND created_by = :created_by AND state <> 'connected' AND expires_at > :until
 ORDER BY id DESC LIMIT 1
""")  # noqa: S608 - only our own names are put in
_PROLONG = text("UPDATE connect_sessions SET expires_at = :expires_at WHERE id = :id")
_REOPEN = text("UPDATE connect_sessions SET state = 'open', failure_code = NULL WHERE id = :id AND state = 'failed'")
_BEGIN = text("""
UPDATE connect_sessions
   SET state = 'open', failure_code = NULL, state_hash = :state_hash, browser_hash = :browser_hash, key_id = :key_id,
       wrapped_key = :wrapped_key, ciphertext = :ciphertext, properties = CAST(:properties AS jsonb),
       expires_at = :expires_at
 WHERE id = :id
""")
_TAKE = text(f"UPDATE connect_sessions SET {_BARE} WHERE id = :id")  # noqa: S608 - only our own names are put in
# Another tab may have ended it well meanwhile, or begun anew: the first must not be undone, nor the second be cut short.
_FAIL = text("""
UPDATE connect_sessions SET state = 'failed', failure_code = :failure
 WHERE id = :id AND state <> 'connected' AND state_hash IS NULL
""")
_FINISH = text(f"""
UPDATE connect_sessions
   SET state = 'connected', failure_code = NULL, account_id = :account_id, result_hash = :result_hash, {_BARE}
 WHERE id = :id
""")  # noqa: S608 - only our own names are put in
_REDEMPTION = text("""
SELECT result_hash IS NOT DISTINCT FROM :hash AS fits, redeemed_at IS NOT NULL AS redeemed
  FROM connect_sessions WHERE id = :id FOR UPDATE
""")
_REDEEM = text("UPDATE connect_sessions SET redeemed_at = clock_timestamp() WHERE id = :id")
_GRANT = text(f"""
SELECT {ACCOUNT_COLUMNS}, s.client_id, s.options, l.epoch AS grant_epoch, clock_timestamp() AS now
  FROM accounts AS a JOIN leases AS l ON l.account_id = a.id JOIN sources AS s ON s.id = a.source_id
 WHERE a.id = :id
""")  # noqa: S608 - only our own names are put in


class PostgresConnectSessions:
    """Sessions over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: ConnectSession, link_hash: bytes) -> None:
        """A new session, found by the hash of its link's token."""
        await self._connection.execute(
            _ADD,
            {
                "id": session.id,
                "environment": session.environment,
                "source_id": session.source_id,
                "account_id": session.account_id,
                "created_by": session.created_by,
                "link_hash": link_hash,
                "external_id": session.external_id,
                "metadata": orjson.dumps(dict(session.metadata)).decode(),
                "properties": orjson.dumps(dict(session.properties)).decode(),
                "scopes": None if session.scopes is None else list(session.scopes),
                "return_url": session.return_url,
                "created_at": session.created_at,
                "expires_at": session.expires_at,
            },
        )

    async def get(self, session_id: SessionId, environment: str) -> ConnectSession | None:
        """A session of this environment."""
        parameters = {"id": session_id, "environment": environment}
        row = (await self._connection.execute(_GET, parameters)).mappings().first()
        return None if row is None else _session_from(row)

    async def by_link(self, link_hash: bytes) -> ConnectSession | None:
        """The session of a link, locked."""
        row = (await self._connection.execute(_BY_LINK, {"hash": link_hash})).mappings().first()
        return None if row is None else _session_from(row)

    async def open_of(self, account_id: AccountId, *, created_by: str, until: datetime) -> ConnectSession | None:
        """The latest session of an account that somebody made and that is good beyond a moment."""
        parameters = {"account_id": account_id, "created_by": created_by, "until": until}
        row = (await self._connection.execute(_OPEN_OF, parameters)).mappings().first()
        return None if row is None else _session_from(row)

    async def prolong(self, session_id: SessionId, expires_at: datetime) -> None:
        """Let a session last until then."""
        await self._connection.execute(_PROLONG, {"id": session_id, "expires_at": expires_at})

    async def reopen(self, session_id: SessionId) -> None:
        """Forget why a session failed: it is tried again."""
        await self._connection.execute(_REOPEN, {"id": session_id})

    async def begin(
        self, session: ConnectSession, *, state_hash: bytes, browser_hash: bytes, verifier: SealedVerifier | None
    ) -> None:
        """Let a session wait for this state from this browser, and for no other any more."""
        await self._connection.execute(
            _BEGIN,
            {
                "id": session.id,
                "state_hash": state_hash,
                "browser_hash": browser_hash,
                "key_id": None if verifier is None else verifier.key.key_id,
                "wrapped_key": None if verifier is None else verifier.key.wrapped,
                "ciphertext": None if verifier is None else verifier.ciphertext,
                "properties": orjson.dumps(dict(session.properties)).decode(),
                "expires_at": session.expires_at,
            },
        )

    async def by_state(self, state_hash: bytes) -> BegunSession | None:
        """The session that waits for a state, locked."""
        row = (await self._connection.execute(_BY_STATE, {"hash": state_hash})).mappings().first()
        if row is None:
            return None
        sealed = None
        if row["ciphertext"] is not None:
            sealed = SealedVerifier(SealedKey(row["key_id"], row["wrapped_key"]), row["ciphertext"])
        return BegunSession(_session_from(row), row["browser_hash"], sealed, row["now"])

    async def take(self, session_id: SessionId) -> None:
        """Let a session wait for nothing any more, and forget what it waited with."""
        await self._connection.execute(_TAKE, {"id": session_id})

    async def lock(self, session_id: SessionId) -> ConnectSession | None:
        """A session, locked."""
        row = (await self._connection.execute(_LOCK, {"id": session_id})).mappings().first()
        return None if row is None else _session_from(row)

    async def fail(self, session_id: SessionId, failure: ConnectFailure) -> None:
        """Note why it did not work out, unless the session has gone on since."""
        await self._connection.execute(_FAIL, {"id": session_id, "failure": failure.value})

    async def finish(self, session_id: SessionId, account_id: AccountId, result_hash: bytes) -> None:
        """Note what came of it."""
        await self._connection.execute(
            _FINISH, {"id": session_id, "account_id": account_id, "result_hash": result_hash}
        )

    async def redemption(self, session_id: SessionId, result_hash: bytes) -> Redemption:
        """Whether a result is this session's, and whether it was redeemed; the row is locked."""
        parameters = {"id": session_id, "hash": result_hash}
        row = (await self._connection.execute(_REDEMPTION, parameters)).mappings().first()
        return Redemption(fits=False, redeemed=False) if row is None else Redemption(row["fits"], row["redeemed"])

    async def redeem(self, session_id: SessionId) -> None:
        """Use the result up."""
        await self._connection.execute(_REDEEM, {"id": session_id})


class PostgresGrants:
    """Reads accounts with the number of their present grant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, account_id: AccountId) -> Grant | None:
        """The grant of an account, of whatever environment."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_GRANT, {"id": account_id})).mappings().first()
        if row is None:
            return None
        return Grant(account_from(row), row["client_id"], row["options"], row["grant_epoch"], row["now"])


def _session_from(row: RowMapping) -> ConnectSession:
    return ConnectSession(
        id=SessionId(row["id"]),
        environment=row["environment"],
        source_id=SourceId(row["source_id"]),
        account_id=None if row["account_id"] is None else AccountId(row["account_id"]),
        created_by=row["created_by"],
        external_id=row["external_id"],
        metadata=row["metadata"],
        properties=row["properties"],
        scopes=None if row["scopes"] is None else tuple(row["scopes"]),
        return_url=row["return_url"],
        state=StoredState(row["state"]),
        failure=None if row["failure_code"] is None else ConnectFailure(row["failure_code"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
