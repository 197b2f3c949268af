"""What is to be made of presentations: which answers were lost, and whose fault that was."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from storm.grants import Kind, Result
from storm.wire import Presentation

SETTLE_S = 3.0
"""A process that ran for so long after an answer has settled it, or written it to its spool: a second of patience with the
database, and two for a machine on which everything is being killed and started at once."""
_IMPATIENCE_S = 0.5
"""By how much a client's deadline may lie before what we measure: it counts from the moment that it sends."""


class Excuse(StrEnum):
    """Why an answer could not be had, or not be kept, by any client."""

    WIRE = "lost on the wire"
    KILLED = "died with a killed process"


def excuse(one: Presentation, *, deadline_s: float) -> Excuse | None:
    """Why the answer to a presentation may be unknown to us; None when it reached a process that lived on."""
    if one.fault is not None and one.fault.loses_the_answer:
        return Excuse.WIRE
    life = one.sender
    if one.answered is None:
        if life is not None and life.killed and (life.ended or 0.0) <= (one.ended or one.arrived) + _IMPATIENCE_S:
            return Excuse.KILLED
        # We were too slow ourselves, and the client had given up.
        waited = (one.ended or one.arrived) - one.arrived + one.hesitated
        return Excuse.WIRE if waited > deadline_s - _IMPATIENCE_S else None
    if life is not None and life.killed and life.ended is not None:
        return Excuse.KILLED if life.ran_for(one.answered, life.ended) < SETTLE_S else None
    return None


def double_presentations(row: Sequence[Presentation], *, deadline_s: float) -> list[tuple[Presentation, Presentation]]:
    """Pairs of presentations of one grant in which the later one should not have been made.

    The answer to the earlier one had rotated the token, or refused it, and had reached a process that lived on.
    """
    found: list[tuple[Presentation, Presentation]] = []
    settled: dict[int, Presentation] = {}
    for one in row:
        earlier = settled.get(one.token)
        if earlier is not None:
            found.append((earlier, one))
        final = one.result is not None and one.result is not Result.KEPT
        if final and excuse(one, deadline_s=deadline_s) is None:
            settled[one.token] = one
    return found


def overlaps(row: Sequence[Presentation]) -> list[tuple[Presentation, Presentation]]:
    """Presentations of one grant of which the second began before the first was over."""
    return [(first, second) for first, second in pairwise(row) if first.ended is None or second.arrived < first.ended]


def why_lost(row: Sequence[Presentation], *, deadline_s: float) -> Excuse | None:
    """Why a grant that was last refused is lost for us; None when it is our own fault, or nobody refused it."""
    refused = [one for one in row if one.result is not None and one.result.is_refusal]
    if not refused or refused[-1].kind is Kind.KEEPS:
        return None
    token = refused[-1].token
    spent = [one for one in row if one.token == token and one.result in {Result.ROTATED, Result.REPEATED}]
    excuses = [excuse(one, deadline_s=deadline_s) for one in spent]
    return excuses[0] if excuses and all(excuses) else None


def held_for(row: Sequence[Presentation]) -> float:
    """For how many seconds a killed process ran with the answer that was lost with it. Near `SETTLE_S` is worth a look."""
    spent = [one for one in row if one.result in {Result.ROTATED, Result.REPEATED}]
    life = spent[-1].sender if spent else None
    if life is None or life.ended is None or spent[-1].answered is None:
        return 0.0
    return life.ran_for(spent[-1].answered, life.ended)
