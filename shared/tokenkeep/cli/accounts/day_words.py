"""An account's day in plain words, one line for each thing that happened, in order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from tokenkeep.cli.accounts.day import Day, Document, attempted_at
from tokenkeep.domain.plain_words import answered, due, event, moment_at

_FEW = 3
"""So many refreshes in a row that went as they should are told one by one; more are told in one line."""
_DUE, _SENT, _ANSWERED, _TOLD = range(4)
_DELIVERIES = {
    "delivered": "has it",
    "failed": "was given up",
    "parked": "did not get it: it is disabled",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    rank: int
    text: str


@dataclass(frozen=True, slots=True)
class _Story:
    """What belongs to one cause. `routine`: a refresh that was due, went as it should, and changed nothing else."""

    lines: Sequence[Line]
    routine: bool

    @property
    def ended_at(self) -> datetime:
        return max(line.at for line in self.lines)


def sentences(day: Day, provider: str) -> list[Line]:
    """The day, oldest first."""
    stories = sorted(_stories(day, provider), key=lambda it: it.ended_at)
    lines: list[Line] = []
    for routine, group in groupby(stories, key=lambda it: it.routine):
        run = list(group)
        if routine and len(run) > _FEW:
            last = run[-1].ended_at.strftime("%H:%M:%S")
            lines.append(Line(run[0].ended_at, 0, f"Refreshed {len(run)} times, as planned; the last time at {last}."))
        else:
            lines += sorted((line for story in run for line in story.lines), key=lambda it: (it.at, it.rank))
    return lines


def printed(lines: Sequence[Line]) -> Iterator[str]:
    """As they are shown: a date, and below it the times of that date, in UTC."""
    for date, group in groupby(lines, key=lambda it: it.at.date()):
        yield f"{date}"
        for line in group:
            text = "".join(letter for letter in line.text if letter.isprintable())
            yield f"  {line.at:%H:%M:%S}  {text}"


def _stories(day: Day, provider: str) -> Iterator[_Story]:
    """Attempts with their events; and what else happened, each by itself."""
    causes: dict[str, list[Document]] = {}
    for it in day.events:
        causes.setdefault(it.get("correlationid") or it["id"], []).append(it)
    for attempt in day.attempts:
        its = causes.pop(attempt["correlation_id"], [])
        lines = [*_of_attempt(attempt, provider), *(_of_event(it, day) for it in its)]
        yield _Story(lines, routine=_is_routine(attempt, its))
    for others in causes.values():
        yield _Story([_of_event(it, day) for it in others], routine=False)


def _is_routine(attempt: Document, its: Sequence[Document]) -> bool:
    plain = (attempt["outcome"], attempt["trigger"], attempt["presentations"], attempt["resolution"])
    return plain == ("ok", "schedule", 1, None) and [it["type"].rpartition(".")[2] for it in its] == ["refreshed"]


def _of_attempt(attempt: Document, provider: str) -> Iterator[Line]:
    if attempt.get("due_at") is not None:  # an API of the release before does not say it
        yield Line(moment_at(attempt["due_at"]), _DUE, due(attempt))
    if attempt["sent_at"] is not None:
        yield Line(moment_at(attempt["sent_at"]), _SENT, f"{provider} was asked for new tokens.")
    if attempt["settled_at"] is not None or attempt["sent_at"] is None:
        yield Line(attempted_at(attempt), _ANSWERED, answered(attempt, provider))


def _of_event(it: Document, day: Day) -> Line:
    name = it["type"].removeprefix("tokenkeep.")
    deliveries = None if day.deliveries is None else day.deliveries.get(it["id"])
    told = "".join(f"; webhook {_delivery(one)}" for one in deliveries or ())
    return Line(moment_at(it["time"]), _TOLD, f"{event(it)} Told as {name}{told}.")


def _delivery(one: Document) -> str:
    state = _DELIVERIES.get(one["state"])
    if state is not None:
        return f"{one['webhook_id']} {state}"
    tries = one["tries"]
    return f"{one['webhook_id']} waits for it" + (f" after {tries} tries" if tries else "")
