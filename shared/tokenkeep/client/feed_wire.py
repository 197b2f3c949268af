"""What a reader of the feed wants done: calls of the API, its place kept, dead letters put away."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, assert_never

from tokenkeep.client.api_wire import ApiWire, AsyncApiWire
from tokenkeep.client.cursor_stores import AsyncCursorStore, CursorStore
from tokenkeep.client.dead_letters import AsyncDeadLetterBox, DeadLetterBox, new_letter
from tokenkeep.client.effects import Beat, Bury, Call, Command, Effect, Handle, LoadPosition, Pause, SavePosition


class FeedWire:
    """For programs that block."""

    def __init__(self, api: ApiWire, group: str, cursors: CursorStore, box: DeadLetterBox | None) -> None:
        self._api = api
        self._group = group
        self._cursors = cursors
        self._box = box
        self._loaded = False

    def carry_out(self, effect: Effect) -> Any:
        """The answer to an effect. What the stores raise is raised."""
        match effect:
            case Call():
                return self._api.carry_out(effect)
            case LoadPosition():
                position = self._cursors.load(self._group)
                self._loaded = True
                return position
            case SavePosition(position):
                return self._cursors.save(self._group, position)
            case Bury(event, reason, tries):
                if self._box is not None:
                    self._box.put(self._group, new_letter(event, reason, tries))
                return self._box is not None
            case Handle() | Pause() | Beat() | Command():
                raise TypeError(effect)
            case _:
                assert_never(effect)

    def close(self) -> None:
        """The reader has ended. The connections are the client's."""
        if self._loaded:
            self._cursors.release(self._group)


class AsyncFeedWire:
    """As `FeedWire`, on an event loop; stores that block work in a thread."""

    def __init__(
        self,
        api: AsyncApiWire,
        group: str,
        cursors: CursorStore | AsyncCursorStore,
        box: DeadLetterBox | AsyncDeadLetterBox | None,
    ) -> None:
        self._api = api
        self._group = group
        self._cursors = cursors
        self._box = box
        self._loaded = False

    async def carry_out(self, effect: Effect) -> Any:
        """The answer to an effect. What the stores raise is raised."""
        match effect:
            case Call():
                return await self._api.carry_out(effect)
            case LoadPosition():
                position = await _away_from_the_loop(self._cursors.load, self._group)
                self._loaded = True
                return position
            case SavePosition(position):
                return await _away_from_the_loop(self._cursors.save, self._group, position)
            case Bury(event, reason, tries):
                if self._box is not None:
                    await _away_from_the_loop(self._box.put, self._group, new_letter(event, reason, tries))
                return self._box is not None
            case Handle() | Pause() | Beat() | Command():
                raise TypeError(effect)
            case _:
                assert_never(effect)

    async def close(self) -> None:
        """The reader has ended. The connections are the client's."""
        if self._loaded:
            await _away_from_the_loop(self._cursors.release, self._group)


async def _away_from_the_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)
