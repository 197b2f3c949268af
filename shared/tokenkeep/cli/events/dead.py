"""What services sent and nobody could take, or work off: shown, and tried again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenkeep.adapters.postgres.inbox import PostgresInboxQueue
from tokenkeep.adapters.redis.inbox_stream import DeadEntry, RedisDeadEntries
from tokenkeep.application.inbox import FailedEvent
from tokenkeep.cli.events.stores import open_database, open_redis
from tokenkeep.domain.events import rfc3339
from tokenkeep.domain.ids import IdKind, format_id

_ENTRY = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_POSITION = re.compile(r"[0-9]{1,18}")
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Dead:
    """What there is. `whole` is False where no database was named, so that its part is not known."""

    documents: Sequence[dict[str, Any]]
    whole: bool


async def list_dead(limit: int) -> Dead:
    """Entries of the dead stream, then accepted events that were given up; oldest first, up to `limit` of each."""
    async with open_redis() as client:
        documents = [_entry(one) for one in await RedisDeadEntries(client).list(limit)]
    async with open_database() as database:
        if database is not None:
            documents += [_failed(one) for one in await PostgresInboxQueue(database).failed(limit)]
        return Dead(documents, whole=database is not None)


async def retry_dead(ids: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Try these again, or all; returns the ids that were, and those that there are not."""
    wanted = ids if ids is not None else [one["id"] for one in (await list_dead(_MOST)).documents]
    done: list[str] = []
    async with open_redis() as client:
        entries = RedisDeadEntries(client)
        done += [one for one in wanted if _ENTRY.fullmatch(one) and await entries.retry(one)]
    positions = [int(one) for one in wanted if _POSITION.fullmatch(one)]
    async with open_database() as database:
        if database is not None and positions:
            done += [str(one) for one in await PostgresInboxQueue(database).retry(positions)]
    return done, [one for one in wanted if one not in done]


def _entry(one: DeadEntry) -> dict[str, Any]:
    return {"id": one.id, "where": "stream", "reason": one.reason, "field": one.field, "event": one.event}


def _failed(one: FailedEvent) -> dict[str, Any]:
    event = {
        "environment": one.environment,
        "source": one.source,
        "id": one.id,
        "type": one.type,
        "subject": format_id(IdKind.ACCOUNT, one.account_id),
        "received_at": rfc3339(one.received_at),
    }
    return {"id": str(one.position), "where": "database", "reason": one.error, "field": None, "event": event}
