"""What must be true of a house when a fault is over."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import httpx
import orjson

from faults.house import House, Stand
from tokenkeep.adapters.demo_provider import Outcome, Presentation
from tokenkeep.adapters.postgres.token_reads import PostgresTokenReads
from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.application.sealing import ACCESS
from tokenkeep.domain.ids import AccountId, IdKind, format_id

GRANTED = {Outcome.GRANTED, Outcome.GRANTED_IN_GRACE}


async def judged(house: House) -> list[str]:
    """What is not as it must be, each in a line. Ends the processes: nothing moves while it looks."""
    await house.hush()
    found: list[str] = []
    stands = await house.stands()
    table, stream = await _events(house)
    for account_id, user in house.users.items():
        stand = stands[account_id]
        presented = [one for one in house.provider.presentations() if one.user == user]
        lost = {one.order for one in presented if was_lost(house, account_id, one)}
        found += [f"{user}: {line}" for line in _about_presentations(presented, lost)]
        found += [f"{user}: {line}" for line in _about_the_stand(house, stand, presented, lost)]
        subject = format_id(IdKind.ACCOUNT, account_id)
        found += [f"{user}: {line}" for line in _about_events(stand, table[subject], stream[subject])]
        if stand.state == "active" and not await _works(house, account_id):
            found.append(f"{user}: the stored token does not work")
    return [*found, *await history(house)] if found else []


async def history(house: House) -> list[str]:
    """What happened in a house, as the provider and the journal saw it. No secret is in it."""
    lines = []
    for account_id, user in house.users.items():
        lines += [
            f"  {user} presented {one.order} {one.fingerprint[:6]} {one.began_at:%T.%f} {one.outcome} {one.status}"
            for one in house.provider.presentations()
            if one.user == user
        ]
        attempts = await house.sql(
            "SELECT generation, a.presented_generation AS presented, a.fence, a.trigger, a.sent_at, a.settled_at, a.outcome,"
            " a.reason, a.resolution, a.presentations FROM refresh_attempts AS a JOIN credentials USING (account_id)"
            " WHERE account_id = :id ORDER BY a.fence",
            id=account_id,
        )
        lines += [f"  {user} attempted {dict(row)}" for row in attempts]
    return lines


def was_lost(house: House, account_id: AccountId, one: Presentation) -> bool:
    """Whether a granted answer is proved to have reached nobody.

    It was cut off, or died with the process that waited for it; or this process stood still and gave it too late.
    """
    if one.outcome not in GRANTED:
        return False
    if house.lateness.around(one.began_at):
        return True
    return one.status is None or (account_id in house.lost and one.order in house.unanswered)


def _about_presentations(presented: list[Presentation], lost: set[int]) -> list[str]:
    """One at a time; and a used-up token again only if its successor's answer was lost."""
    found = []
    for former, latter in pairwise(presented):
        if former.ended_at is None or latter.began_at < former.ended_at:
            found.append(f"presentations {former.order} and {latter.order} were outstanding together")
    for index, one in enumerate(presented):
        earlier = [other for other in presented[:index] if other.fingerprint == one.fingerprint]
        if any(other.outcome in GRANTED and other.order not in lost for other in earlier):
            found.append(f"presentation {one.order} spent a token whose successor we had")
    return found


def _about_the_stand(house: House, stand: Stand, presented: list[Presentation], lost: set[int]) -> list[str]:
    if stand.state == "active":
        return []
    found = []
    if house.kind == "grace":
        found.append(f"disabled ({stand.reason}), though the provider's grace makes every loss good")
    elif not lost:
        found.append(f"disabled ({stand.reason}), though no answer was lost")
    elif stand.reason != "in_doubt":
        found.append(f"disabled for {stand.reason}; it was an answer that was lost")
    if presented and presented[-1].outcome not in {Outcome.REUSED, Outcome.REFUSED}:
        found.append("disabled without the provider's word")
    return found


def _about_events(stand: Stand, table: list[dict[str, Any]], stream: list[dict[str, Any]]) -> list[str]:
    """The table is gapless and tells each change once; the stream tells the same in the same order."""
    found = []
    if [int(event["sequence"]) for event in table] != list(range(1, len(table) + 1)):
        found.append(f"sequences in the table: {[event['sequence'] for event in table]}")
    told = [event["type"].rpartition(".")[2] for event in table]
    if told.count("refreshed") != stand.generation - 1:
        found.append(f"generation {stand.generation} was told by {told.count('refreshed')} events")
    if told.count("disabled") != (stand.state == "disabled"):
        found.append(f"it is {stand.state}, and disabled was told {told.count('disabled')} times")
    if told.count("in_doubt") > 1 and "refreshed" not in told[told.index("in_doubt") :]:
        found.append(f"one doubt was told {told.count('in_doubt')} times")
    first_sight = list(dict.fromkeys(event["id"] for event in stream))
    if first_sight != [event["id"] for event in table]:
        found.append(f"the stream tells {[event['sequence'] for event in stream]}, the table {len(table)} events")
    return found


async def _events(house: House) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """What the table tells of each subject, and what the stream does."""
    table: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = await house.sql("SELECT id, subject, sequence, type FROM events ORDER BY subject, sequence")
    for row in rows:
        subject = format_id(IdKind.ACCOUNT, row["subject"])
        table[subject].append(
            {"id": format_id(IdKind.EVENT, row["id"]), "sequence": row["sequence"], "type": row["type"]}
        )
    stream: dict[str, list[dict[str, Any]]] = defaultdict(list)
    entries: Any = await house.road.foundation.redis.xrange(STREAM)
    for _, fields in entries:
        event = orjson.loads(fields[b"event"])
        stream[event["subject"]].append(event)
    return table, stream


async def _works(house: House, account_id: AccountId) -> bool:
    """Whether the provider's resource takes the stored access token."""
    stored = await PostgresTokenReads(house.road.foundation.database)(account_id)
    assert stored is not None
    held = stored.held
    assert held is not None
    access = await house.road.refreshing.stores.column(
        account_id, held.sealed_key, ACCESS, held.access_ciphertext, held.version
    )
    token = house.road.sealer.open_access(account_id, held.sealed_key, access, held.version)
    answer = await house.http.get("/api/me", headers={"Authorization": f"Bearer {token.reveal()}"})
    return answer.status_code == httpx.codes.OK
