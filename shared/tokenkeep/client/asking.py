"""One call of the API from beginning to end: what may be asked again, when, and for how long. Decisions, without input and output."""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from tokenkeep.client.api_wire import Reply
from tokenkeep.client.effects import Call, Effect, Pause
from tokenkeep.client.errors import Conflict, DeadlineExceeded, TokenUnavailable, Unreachable
from tokenkeep.domain.errors import InvalidInput

Result = TypeVar("Result")

_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 8.0
_MOST_SECONDS = 3_600.0
_MOST_RETRIES = 20
_UNDER_WAY = "request_in_progress"
"""What an equal request is told whose first answer was lost, and which is still being worked at."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds, a call may take with all its tries, and how often it is tried again."""

    timeout: float = 30.0
    retries: int = 4

    def __post_init__(self) -> None:
        """Refuse what can't be meant. Raises `InvalidInput`."""
        if not 0 < self.timeout <= _MOST_SECONDS:
            raise InvalidInput("timeout", f"is in seconds, above 0 and up to {_MOST_SECONDS:g}")
        if not 0 <= self.retries <= _MOST_RETRIES:
            raise InvalidInput("max_retries", f"is from 0 to {_MOST_RETRIES}")

    def changed(self, timeout: float | None, retries: int | None) -> "Patience":
        """The same but for what is given."""
        return Patience(self.timeout if timeout is None else timeout, self.retries if retries is None else retries)


@dataclass(frozen=True, slots=True)
class Ask(Generic[Result]):
    """A call, and what its answer means. `repeatable`: once more does no harm, also if the first one was done.

    `needs` is how long, in seconds, its answer may take by the caller's own word, beside the client's patience.
    """

    call: Call
    read: Callable[[Reply], Result]
    repeatable: bool = False
    needs: float = 0.0


def asked(ask: Ask[Result], patience: Patience, clock: Callable[[], float]) -> Generator[Effect, Any, Result]:
    """The answer. What is repeatable is asked again while the API can't be had; other calls only if they never began.

    Waits grow from a quarter of a second, or are as long as `Retry-After` says; none goes beyond the deadline.

    Raises:
        DeadlineExceeded: There was no answer in time.
        Unreachable: It was in vain.
        ApiProblem: The API refuses.
    """
    until = clock() + patience.timeout + ask.needs
    for tries_left in range(patience.retries, -1, -1):
        remaining = until - clock()
        if remaining <= 0:
            break
        try:
            reply: Reply = yield replace(ask.call, deadline=remaining)
            return ask.read(reply)
        except (Unreachable, Conflict) as error:
            wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (patience.retries - tries_left))
            wait = max(wait * random.uniform(0.5, 1.0), error.retry_after or 0.0)  # noqa: S311 - spreads callers out
            if not tries_left or not _may_repeat(ask, error) or clock() + wait >= until:
                raise
        yield Pause(wait)
    raise DeadlineExceeded("no answer in time")


def _may_repeat(ask: Ask[Any], error: Unreachable | Conflict) -> bool:
    if isinstance(error, Conflict):
        return ask.repeatable and error.code == _UNDER_WAY
    if isinstance(error, TokenUnavailable):
        return False  # the caller has said how long the server is to wait for it
    return ask.repeatable or not error.maybe_done
