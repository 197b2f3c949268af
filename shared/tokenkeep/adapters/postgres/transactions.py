"""What became of a transaction whose commit was not acknowledged (PostgreSQL, section 9.27.8)."""

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_OWN = text("SELECT pg_current_xact_id()::text")
_STATUS = text("SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8))")
_IN_THE_FUTURE = "22023"


async def transaction_id(connection: AsyncConnection) -> str:
    """The id of the transaction that this connection is in."""
    found: str = (await connection.execute(_OWN)).scalar_one()
    return found


async def was_committed(connection: AsyncConnection, transaction_id: str) -> bool | None:
    """Whether it was committed; None while it is still open.

    A server that has not got as far yet has lost it: a failover to one that lagged behind.
    """
    try:
        status = (await connection.execute(_STATUS, {"id": transaction_id})).scalar_one_or_none()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _IN_THE_FUTURE:
            return False
        raise
    return None if status == "in progress" else status == "committed"
