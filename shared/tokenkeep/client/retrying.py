"""What becomes of an event whose handler did not return: pure decisions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

LONGEST_REASON = 500
"""How many characters of a reason are kept."""

LONGEST_RETRY = 7 * 86_400.0
"""No event waits for longer than a week until it is tried again, in seconds."""


class Retry(Exception):
    """A handler raises it: not now, and not the event's fault. Does not count as a failure.

    Args:
        after: When to try again, in seconds; a week at most.

    Raises `ValueError` if that is no number: the handler has failed then.
    """

    def __init__(self, after: float = 30.0) -> None:
        super().__init__(f"again after {after:g} s")
        self.after = _bounded(after)


class Reject(Exception):
    """A handler raises it: this event will never succeed. It becomes a dead letter at once, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised: `reason` tells what."""

    reason: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """The handler raised `Retry`."""

    after: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler raised `Reject`, or what was read is no event."""

    reason: str


Outcome = Done | Failed | Postponed | Rejected


def described(error: BaseException) -> str:
    """An exception's class and message, on one line and of bounded length."""
    message = _words(error)
    return f"{type(error).__name__}: {message}"[:LONGEST_REASON] if message else type(error).__name__


def outcome_of(error: BaseException, describe: Callable[[BaseException], str] = described) -> Outcome:
    """What a handler says by raising this. Whatever that is, it is about the event: nothing of it raises here."""
    try:
        if isinstance(error, Retry):
            return Postponed(_bounded(error.after))
        if isinstance(error, Reject):
            return Rejected(_words(error.reason)[:LONGEST_REASON])
        return Failed(_words(describe(error))[:LONGEST_REASON])
    except Exception:  # noqa: BLE001 - a description that fails, or a subclass that says nothing, ends no subscription
        return Failed(described(error))


def _bounded(seconds: float) -> float:
    """A wait that is none too long. Raises `ValueError` if it is no number."""
    if math.isnan(seconds):
        raise ValueError("a wait is a number of seconds")
    return min(max(0.0, seconds), LONGEST_RETRY)


def _words(said: object) -> str:
    """Text on one line that can be sent: a handler may raise what has none, or half of a character."""
    try:
        text = str(said)
    except Exception:  # noqa: BLE001 - as above
        return ""
    return " ".join(text.encode(errors="replace").decode().split())


class Record(NamedTuple):
    """What is remembered of an event's tries, across processes.

    `starts` counts how often a handler was given the event, `failures` how often it raised, `ended` how often a start came
    to any end. A start that came to none is one whose process died.
    """

    starts: int = 0
    failures: int = 0
    ended: int = 0

    @property
    def deaths(self) -> int:
        """How many processes died, or were stopped by force, while they handled the event."""
        return max(0, self.starts - self.ended)

    def started(self) -> "Record":
        """The record once a handler has the event."""
        return self._replace(starts=self.starts + 1)

    def failed(self) -> "Record":
        """The record once a handler has raised."""
        return self._replace(failures=self.failures + 1, ended=self.ended + 1)

    def postponed(self) -> "Record":
        """The record once a handler has asked for another time."""
        return self._replace(ended=self.ended + 1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed event is tried again.

    Args:
        tries: An event becomes a dead letter when its handler has failed so often.
        deaths: … or when so many processes died while they handled it: it may be what kills them.
        first: The wait after the first failure, in seconds; each further one doubles it.
        longest: No wait is longer, in seconds; a week at most.
    """

    tries: int = 10
    deaths: int = 25
    first: float = 1.0
    longest: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what would never try, or never end."""
        if self.tries < 1 or self.deaths < 1 or not 0 <= self.first <= self.longest <= LONGEST_RETRY:
            raise ValueError("tries and deaths are at least 1, and 0 <= first <= longest, which is a week at most")

    def wait_after(self, failures: int) -> float:
        """How long to wait after so many failures, in seconds."""
        doubled = self.first * 2.0 ** min(failures - 1, 64)
        return min(self.longest, doubled)

    def verdict_on_death(self, record: Record) -> str | None:
        """Why an event is not given to one more handler; None: it is."""
        if record.deaths >= self.deaths:
            return f"{record.deaths} consumers ended while they handled it"
        return None

    def exhausted(self, record: Record) -> bool:
        """Whether the handler has failed too often."""
        return record.failures >= self.tries
