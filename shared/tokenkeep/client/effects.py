"""What a subscription wants done, in words: it decides, and whoever runs it does the input and output.

A flow is a generator that yields effects and is sent their answers; `running.py` and `running_async.py` carry them out.
Faults (`ClientError`) are thrown into it. So there is one subscription, and it is tested without a server.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.client.event import Event

Words = tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A command for Redis; the answer is its reply. `idle`: it only waits, and may be broken off when the consumer stops."""

    words: Words
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """From now on, send this command again and again, also while a handler runs; None: no more. Its reply goes nowhere."""

    command: Command | None
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Handle:
    """Give the event to the handler; the answer is an `Outcome`."""

    event: Event


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds, or until the consumer is to stop."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API; the answer is its JSON. It may take as long as `patience`, in seconds, beside the way there and back.

    `idle`: it only waits, and may be broken off when the consumer stops; the answer is None then. `content`: a body as it is
    sent, whose kind `headers` name; `body` is sent as JSON. `deadline`: the call takes no longer than that, in seconds, the way
    there and back included.
    """

    method: str
    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    patience: float = 10.0
    idle: bool = False
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class LoadPosition:
    """Read the place that was kept last; the answer is it, or None."""


@dataclass(frozen=True, slots=True)
class SavePosition:
    """Keep this place; when that returns, it is safe."""

    position: str


@dataclass(frozen=True, slots=True)
class Bury:
    """Give an event to whoever takes dead letters; when that returns, it is safe there. False: there is no such place."""

    event: Event
    reason: str
    tries: int


Effect = Command | Beat | Handle | Pause | Call | LoadPosition | SavePosition | Bury
Flow = Generator[Effect, Any, None]
"""What a subscription is: it ends when the consumer has left."""
