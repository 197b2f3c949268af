"""The calls of `/v1/events`: decisions, without input and output."""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tokenkeep.client.effects import Call, Effect, Pause
from tokenkeep.client.errors import Unreachable
from tokenkeep.client.event import Event
from tokenkeep.client.problem_answers import LONGEST_RETRY_AFTER_S
from tokenkeep.client.reports import Reception, Report
from tokenkeep.domain.event_feed import full_types

MOST_AT_ONCE = 1_000
PATH = "/v1/events"
_MOST_BYTES = 1_000_000  # the API takes a mebibyte
_TRIES = 5
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """Events, oldest first, and the cursor to go on from: also when there are none."""

    events: Sequence[Event]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the feed. `after` None: from the first event that is kept; `now`: only what comes."""

    after: str | None = None
    types: Iterable[str] | None = None
    subject: str | None = None
    wait: int = 0
    limit: int = 100

    def call(self) -> Call:
        """The call of the API. Raises `InvalidInput` for a type that is never sent."""
        types = None if self.types is None else full_types(self.types)
        parameters = {
            "after": self.after,
            "type": None if types is None else sorted(types),
            "subject": self.subject,
            "wait": self.wait or None,
            "limit": self.limit,
        }
        return Call("GET", PATH, parameters, patience=10.0 + self.wait, idle=self.wait > 0)


def read_page(document: Any) -> Page:
    """The page that an answer holds. Raises `Unreachable` if it is none."""
    data, cursor = document.get("data"), document.get("next_cursor")
    if not isinstance(data, list) or not isinstance(cursor, str):
        raise Unreachable("the answer is no page of events")
    return Page([Event.read(one) for one in data], cursor)


def fetch_page(question: Question) -> Generator[Effect, Any, Page]:
    """One page of the feed."""
    return read_page((yield from persistently(question.call())))


def send(reports: Sequence[Report]) -> Generator[Effect, Any, list[Reception]]:
    """Send reports, up to a thousand in one call; a result for each, in order.

    Raises:
        Unreachable: The API could not be had. Which of them were accepted is not known: send the same ones again.
    """
    receptions: list[Reception] = []
    for batch in _batches(reports):
        document = yield from persistently(Call("POST", PATH, body=batch, patience=30.0))
        receptions += [_reception(one) for one in document["data"]]
    return receptions


def _batches(reports: Iterable[Report]) -> Iterator[list[dict[str, Any]]]:
    """The reports in as many bodies as the API's bounds want."""
    batch: list[dict[str, Any]] = []
    size = 0
    for document in (report.cloudevent() for report in reports):
        length = len(json.dumps(document, ensure_ascii=False).encode())
        if batch and (len(batch) == MOST_AT_ONCE or size + length > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += length
    if batch:
        yield batch


def persistently(call: Call) -> Generator[Effect, Any, Any]:
    """Make a call that may be made twice, up to five times, for as long as the API can't answer."""
    wait = _FIRST_WAIT_S
    for _ in range(_TRIES - 1):
        try:
            return (yield call)
        except Unreachable as error:
            pause = max(wait, error.retry_after or 0.0)
            if pause > _LONGEST_WAIT_S:
                raise
        yield Pause(min(pause, LONGEST_RETRY_AFTER_S))
        wait *= 4
    return (yield call)


def _reception(document: Any) -> Reception:
    names = ("id", "status", "code", "detail", "field")
    return Reception(**{name: document.get(name) for name in names})
