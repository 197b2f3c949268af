"""A refresher that does what the test tells it to, and remembers what it was called with."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tokenkeep.domain.refresher import RefreshCall

Act = Callable[[RefreshCall], Awaitable[Mapping[str, object]]]


@dataclass
class Scripted:
    """Acts in turn; when the script is empty, it rotates, as `TokenServer` does."""

    calls: list[RefreshCall] = field(default_factory=list)
    script: deque[Act] = field(default_factory=deque)

    @property
    def presented(self) -> list[str]:
        return [call.refresh_token.reveal() for call in self.calls]


SCRIPTED = Scripted()


async def refresh(call: RefreshCall) -> Mapping[str, object]:
    SCRIPTED.calls.append(call)
    act = SCRIPTED.script.popleft() if SCRIPTED.script else rotated
    return await act(call)


async def rotated(call: RefreshCall) -> Mapping[str, object]:
    name, _, number = call.refresh_token.reveal().rpartition(".")
    successor = f"{name}.{int(number) + 1}"
    return {"access_token": f"access-{successor}", "refresh_token": successor, "expires_in": 3600}


def raises(error: BaseException) -> Act:
    async def act(_call: RefreshCall) -> Mapping[str, object]:
        raise error

    return act


def gives(said: object) -> Act:
    async def act(_call: RefreshCall) -> Mapping[str, object]:
        return said  # type: ignore[return-value]  # whatever it is: that is what is tried

    return act
