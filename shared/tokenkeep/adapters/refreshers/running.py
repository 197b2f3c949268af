"""Calls of refreshers: once, within the time, and with a verdict whatever they do."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.response import MAX_BODY_BYTES
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.refresher import RefreshCall, Refresher, RefresherSays
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import NotSent, Unavailable, Verdict
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.hook_answers import verdict_of

_LAST_LOOK_S = 0.5
"""How long a refresher may go on after its deadline: a process that was paused finds the deadline gone and the answer there."""

_log = structlog.get_logger("tokenkeep.refreshers")

_Said = Mapping[str, object] | NotSent


class RunningRefreshers:
    """The installed refreshers.

    Args:
        refreshers: Each by its name.
        now: The clock of `send_before`, in seconds; counts suspend.
    """

    def __init__(self, refreshers: Mapping[str, Refresher], *, now: Callable[[], float] = boottime) -> None:
        self._refreshers = dict(refreshers)
        self._now = now
        self._abandoned: set[asyncio.Task[_Said]] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._refreshers

    async def call(self, call: RefreshCall, *, deadline: float, send_before: float) -> Answer | Verdict:
        """Have the refresher present the token.

        Args:
            call: What it is told, but for its deadline.
            deadline: When it must have come to its end, by `loop.time()`, in seconds.
            send_before: When it must have been begun, by `boottime()`, in seconds. Later than that it is not called.

        Returns:
            A token set as an answer by RFC 6749, or what became of it. It raises nothing but CancelledError.
        """
        loop = asyncio.get_running_loop()
        begun = loop.create_task(self._begin(replace(call, deadline=deadline), send_before))
        try:
            await asyncio.wait({begun}, timeout=max(deadline - loop.time(), 0.0))
            if not begun.done():
                await asyncio.wait({begun}, timeout=_LAST_LOOK_S)
            if not begun.done():
                _log.warning("refresher_late", refresher=call.refresher, account_id=call.account_id)
                return Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
        finally:
            if not begun.done():
                self._abandon(begun)
        return self._heard(call, begun)

    async def _begin(self, call: RefreshCall, send_before: float) -> _Said:
        refresher = self._refreshers[call.refresher]
        if self._now() > send_before or asyncio.get_running_loop().time() >= call.deadline:
            return NotSent(FailureReason.INTERNAL_ERROR)  # our lateness, and no fault of the provider's
        try:
            return await refresher(call)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _WantedToExit(type(error).__name__) from None

    def _abandon(self, begun: "asyncio.Task[_Said]") -> None:
        """Tell it to end. One that does not is kept from being collected, and whatever it still says is heard by nobody."""
        begun.cancel()
        self._abandoned.add(begun)
        begun.add_done_callback(self._forget)

    def _forget(self, begun: "asyncio.Task[_Said]") -> None:
        self._abandoned.discard(begun)
        if not begun.cancelled():
            begun.exception()  # or asyncio would log it, with whatever its message holds

    def _heard(self, call: RefreshCall, begun: "asyncio.Task[_Said]") -> Answer | Verdict:
        error = None if begun.cancelled() else begun.exception()
        if error is None and not begun.cancelled():
            said = begun.result()
            return said if isinstance(said, NotSent) else self._answer(call, said)
        if isinstance(error, RefresherSays):
            return verdict_of(error)
        # Only its name: what it says may hold what it was given.
        name = "CancelledError" if error is None else _name_of(error)
        _log.error("refresher_failed", refresher=call.refresher, account_id=call.account_id, error=name)
        reason = FailureReason.TIMEOUT if isinstance(error, TimeoutError) else FailureReason.INTERNAL_ERROR
        return Unavailable(reason, maybe_spent=True)

    def _answer(self, call: RefreshCall, said: object) -> Answer | Verdict:
        """The token set, to be read as a token endpoint's answer is."""
        body = _json(said)
        if body is None or len(body) > MAX_BODY_BYTES:
            _log.error("refresher_not_understood", refresher=call.refresher, account_id=call.account_id)
            return Unavailable(FailureReason.INSUFFICIENT_RESPONSE, maybe_spent=True)
        return Answer(200, {}, body)


class _WantedToExit(Exception):
    """A refresher raised what asyncio does not keep in its task, and what would end the process: `sys.exit()` in a library."""


def _name_of(error: BaseException) -> str:
    return str(error) if isinstance(error, _WantedToExit) else type(error).__name__


def _json(said: object) -> bytes | None:
    if not isinstance(said, Mapping):
        return None
    try:
        return json.dumps(dict(said), default=_revealed).encode()
    except (TypeError, ValueError, RecursionError):
        return None


def _revealed(value: object) -> str:
    """A refresher may give back what it was given as it was given it."""
    if not isinstance(value, Secret):
        raise TypeError
    return value.reveal()
