"""What a caller chooses for a subscription, checked, and the flow that follows from it."""

import math
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from tokenkeep.client.consumer_group import Joining
from tokenkeep.client.errors import NotConfigured
from tokenkeep.client.feed_flow import FeedFlow
from tokenkeep.client.retrying import RetryPolicy
from tokenkeep.client.stream_flow import StreamFlow
from tokenkeep.client.wanted import Wanted, checked_group

Start = Literal["beginning", "new"]
Way = Literal["stream", "feed"]
_SHORTEST_LEASE_S = 0.3


@dataclass(frozen=True, slots=True)
class Choice:
    """The arguments of `subscribe` that both ways and both clients have."""

    group: str
    types: Iterable[str] | None = None
    environment: str | None = None
    ordered: bool = True
    start: Start = "beginning"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    lease: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what can't be meant. Raises `ValueError`, or `InvalidInput` for a type that is never told."""
        checked_group(self.group)
        if self.start not in {"beginning", "new"}:
            raise ValueError("start is `beginning` or `new`")
        if not _SHORTEST_LEASE_S <= self.lease < math.inf:
            raise ValueError(f"a lease lasts for {_SHORTEST_LEASE_S} seconds at least, and not for ever")
        object.__setattr__(self, "types", None if self.types is None else tuple(self.types))
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

    def feed_flow(self, stopping: Callable[[], bool], *, patience: int) -> FeedFlow:
        """The decisions of a subscription over the HTTP feed, whose calls wait for so many seconds."""
        new = self.start == "new"
        return FeedFlow(self.wanted, self.retry, new=new, patience=patience, clock=time.monotonic, stopping=stopping)


def way_of(via: Way | None, *, redis: object, cursors: object, dead_letters: object) -> Way:
    """The way that a caller means, who must have said what it needs.

    Raises:
        NotConfigured: Something is missing, or would have no effect.
    """
    way: Way = via or ("feed" if redis is None else "stream")
    if way not in {"stream", "feed"}:
        raise ValueError("via is `stream` or `feed`")
    if way == "stream" and redis is None:
        raise NotConfigured("to read the stream, give the client `redis`")
    if way == "stream" and not (cursors is None and dead_letters is None):
        raise NotConfigured("`cursors` and `dead_letters` are the feed's: the stream keeps both in Redis")
    if way == "feed" and cursors is None:
        raise NotConfigured("to read the feed, say where its cursor is kept: cursors=FileCursorStore(directory)")
    return way


def _new_consumer() -> str:
    """A name that tells where a consumer runs, and that no other ever has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
