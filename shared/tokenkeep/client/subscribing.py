"""What a caller chooses for a subscription, checked, and the flow that follows from it."""

import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from tokenkeep.client.retrying import RetryPolicy
from tokenkeep.client.stream_flow import Joining, StreamFlow
from tokenkeep.client.wanted import Wanted, checked_group

Start = Literal["beginning", "new"]
_SHORTEST_LEASE_S = 0.3


@dataclass(frozen=True, slots=True)
class Choice:
    """The arguments of `subscribe`."""

    group: str
    types: Iterable[str] | None = None
    environment: str | None = None
    ordered: bool = True
    start: Start = "beginning"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    lease: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        checked_group(self.group)
        if self.start not in {"beginning", "new"}:
            raise ValueError("start is `beginning` or `new`")
        if self.lease < _SHORTEST_LEASE_S:
            raise ValueError(f"a lease lasts for {_SHORTEST_LEASE_S} seconds at least")
        Wanted.of(self.types, self.environment)

    @property
    def wanted(self) -> Wanted:
        """Which events the handler is given."""
        return Wanted.of(self.types, self.environment)

    def stream_flow(self, stopping: Callable[[], bool]) -> StreamFlow:
        """The decisions of a subscription over the Redis stream."""
        joining = Joining(
            group=self.group,
            consumer=_new_consumer(),
            ordered=self.ordered,
            beginning=self.start == "beginning",
            lease_s=self.lease,
        )
        return StreamFlow(joining, self.wanted, self.retry, clock=time.monotonic, stopping=stopping)


def _new_consumer() -> str:
    """A name that tells where a consumer runs, and that no other ever has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
