"""Things that go wrong on purpose: wrong answers, delays, dropped connections."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import ConfigDict
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

DROP = "tokenkeep.drop"
"""The ASGI extension that drops a connection (`serving`)."""

_LOWEST_STATUS = 200
_HIGHEST_STATUS = 599


class Moment(StrEnum):
    """When a fault strikes: before the provider has processed the request, or after, in the answer's way."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong. The delay comes first; then the connection is dropped, or a made-up answer given.

    A fault that strikes before and drops or answers keeps the request from being processed.

    Args:
        path: The endpoint.
        moment: Before or after the processing.
        delay_ms: Milliseconds to wait.
        drop: Close the connection without an answer.
        status: The HTTP status of the made-up answer; None for no such answer.
        body: Its body.
        headers: Its headers. JSON is the content type if they name none.
        user: Strike only where a code or refresh token of this user is presented.
        times: How often to strike; None for as long as it is not cleared.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str = "/token"
    moment: Moment = Moment.BEFORE
    delay_ms: int = 0
    drop: bool = False
    status: int | None = None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        """Refuse what can't be done.

        Raises:
            ValueError: It asks for two ends at once, for none and no delay, or for what HTTP does not have.
        """
        if self.drop and self.status is not None:
            msg = "a dropped connection has no status"
            raise ValueError(msg)
        if not self.is_final and self.delay_ms <= 0:
            msg = "a fault delays, drops or answers"
            raise ValueError(msg)
        if self.status is not None and not _LOWEST_STATUS <= self.status <= _HIGHEST_STATUS:
            msg = "status must be from 200 to 599"
            raise ValueError(msg)
        if self.times is not None and self.times < 1:
            msg = "times must be 1 or more"
            raise ValueError(msg)

    @property
    def is_final(self) -> bool:
        """Whether it decides the end of the request."""
        return self.drop or self.status is not None


@dataclass(slots=True)
class _Pending:
    fault: Fault
    left: int | None


class FaultPlan:
    """The faults that are to come, in the order in which they were given."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that can still strike."""
        return tuple(pending.fault for pending in self._pending)

    def add(self, fault: Fault) -> None:
        """Let this go wrong too."""
        self._pending.append(_Pending(fault, fault.times))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._pending.clear()

    async def through(self, path: str, user: str | None, process: Callable[[], Awaitable[Response]]) -> Response:
        """The answer to a request, with what goes wrong on its way."""
        ending = await self._strike(path, user, Moment.BEFORE)
        if ending is not None:
            return ending
        answer = await process()
        ending = await self._strike(path, user, Moment.AFTER)
        return answer if ending is None else ending

    async def _strike(self, path: str, user: str | None, moment: Moment) -> Response | None:
        for fault in self._take(path, user, moment):
            await asyncio.sleep(fault.delay_ms / 1000)
            if fault.drop:
                return Dropped()
            if fault.status is not None:
                return Response(
                    fault.body, fault.status, {"Content-Type": "application/json", **_titled(fault.headers)}
                )
        return None

    def _take(self, path: str, user: str | None, moment: Moment) -> list[Fault]:
        """The faults that strike now, up to the first that ends the request."""
        taken: list[Fault] = []
        for pending in list(self._pending):
            fault = pending.fault
            if (fault.path, fault.moment) != (path, moment) or fault.user not in {None, user}:
                continue
            taken.append(fault)
            if pending.left is not None:
                pending.left -= 1
                if pending.left == 0:
                    self._pending.remove(pending)
            if fault.is_final:
                break
        return taken


class Dropped(Response):
    """No answer: the connection is closed. The server must have the extension that does it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # nothing is sent
        """Close the connection and wait until the server has seen it closed."""
        drop: Callable[[], Any] = scope["extensions"][DROP]
        drop()
        while (await receive())["type"] != "http.disconnect":
            pass


def _titled(headers: dict[str, str]) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items()}
