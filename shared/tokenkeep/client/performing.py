"""Carries out flows: one effect after the other, faults thrown into them."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from tokenkeep.client.effects import Effect
from tokenkeep.domain.errors import TokenkeepError

Result = TypeVar("Result")


def perform(flow: Generator[Effect, Any, Result], do: Callable[[Effect], Any]) -> Result:
    """What the flow returns. What `do` raises beside `TokenkeepError` ends it."""
    answer: Any = None
    fault: TokenkeepError | None = None
    while True:
        try:
            effect = flow.send(answer) if fault is None else flow.throw(fault)
        except StopIteration as end:
            result: Result = end.value
            return result
        answer = fault = None
        try:
            answer = do(effect)
        except TokenkeepError as error:
            fault = error


async def perform_async(flow: Generator[Effect, Any, Result], do: Callable[[Effect], Awaitable[Any]]) -> Result:
    """As `perform`, on an event loop."""
    answer: Any = None
    fault: TokenkeepError | None = None
    while True:
        try:
            effect = flow.send(answer) if fault is None else flow.throw(fault)
        except StopIteration as end:
            result: Result = end.value
            return result
        answer = fault = None
        try:
            answer = await do(effect)
        except TokenkeepError as error:
            fault = error
