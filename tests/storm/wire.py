"""What can go wrong between a worker and a token endpoint, and the record of what did."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from storm.grants import Grant, Kind, Result

if TYPE_CHECKING:
    from storm.processes import Life


class Ending(StrEnum):
    """How the server ends an exchange."""

    ANSWER = "answer"
    CUT = "cut"
    DROP = "drop"
    RESET = "reset"


class Lateness(StrEnum):
    """Where the server spends longer than any client waits."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for an exchange to fail.

    `processed`: the provider does its work, so a rotated token is on its way when the fault strikes. `status` takes the
    place of the real answer; `honest` means that the provider itself says that it did nothing.
    """

    name: str
    processed: bool
    ending: Ending = Ending.ANSWER
    lateness: Lateness | None = None
    status: int | None = None
    honest: bool = False

    @property
    def loses_the_answer(self) -> bool:
        """Whether a client can't learn what the provider did."""
        return self.processed


_SERVER_ERRORS = (500, 502, 503)
FAULTS: tuple[tuple[Fault, int], ...] = (
    (Fault("request dropped", processed=False, ending=Ending.DROP), 3),
    (Fault("request reset", processed=False, ending=Ending.RESET), 3),
    (Fault("request worked on too late", processed=True, lateness=Lateness.BEFORE), 2),
    (Fault("answer dropped", processed=True, ending=Ending.DROP), 2),
    (Fault("answer reset", processed=True, ending=Ending.RESET), 2),
    (Fault("answer cut", processed=True, ending=Ending.CUT), 2),
    (Fault("answer late", processed=True, lateness=Lateness.AFTER), 2),
    *((Fault(f"{status} for a request", processed=False, status=status), 2) for status in _SERVER_ERRORS),
    *((Fault(f"{status} for an answer", processed=True, status=status), 1) for status in _SERVER_ERRORS),
    (Fault("429 with Retry-After", processed=False, status=429, honest=True), 4),
    (Fault("503 of the provider's own", processed=False, status=503, honest=True), 4),
)
"""What may go wrong, and how often in proportion."""

HUNG_UP = "connection closed at once"


@dataclass(slots=True)
class WireWeather:
    """Decides what goes wrong. With `rate` 0 nothing does."""

    dice: Random
    rate: float = 0.0

    def draw(self) -> Fault | None:
        """What befalls this exchange."""
        if self.dice.random() >= self.rate:
            return None
        return self.dice.choices([fault for fault, _ in FAULTS], [weight for _, weight in FAULTS])[0]

    def hangs_up(self) -> bool:
        """Whether a fresh connection is closed before anything is read."""
        return self.dice.random() < self.rate


Ends = tuple[int, int]
"""A connection by its client's port and its server's."""


@dataclass(slots=True, eq=False)
class Line:
    """A connection. `owner` is the life of the process at its other end, once that has been looked up."""

    ends: Ends
    owner: "Life | None" = None


@dataclass(slots=True, eq=False)
class Presentation:
    """One refresh token at a token endpoint. Times are `time.monotonic()`.

    `answered` is when the whole answer was on its way to a client that still listened. `hesitated` is for how long the
    request may have lain unread before it was seen to arrive, because the server was busy.
    """

    grant: Grant
    token: int
    arrived: float
    line: Line
    fault: Fault | None
    hesitated: float = 0.0
    result: Result | None = None
    answered: float | None = None
    ended: float | None = None

    @property
    def sender(self) -> "Life | None":
        """Whose it was; None when the connection was gone before anybody looked."""
        return self.line.owner

    @property
    def kind(self) -> Kind:
        """Whose rules it came under."""
        return self.grant.kind


@dataclass(slots=True)
class Recorder:
    """Every presentation, in the order of arrival, and how often which fault struck."""

    presentations: list[Presentation] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def count(self, fault: str) -> None:
        """A fault struck."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def by_grant(self) -> dict[str, list[Presentation]]:
        """The presentations of each grant."""
        found: dict[str, list[Presentation]] = {}
        for one in self.presentations:
            found.setdefault(one.grant.name, []).append(one)
        return found
