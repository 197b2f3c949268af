"""Names looked up in threads of one's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from threading import Event, Lock
from typing import Any

import pytest

from tokenkeep.adapters.token_endpoint.look_ups import OwnLookUps


class Resolver:
    """Knows every name but `silent`, about which it says nothing until it is told to."""

    def __init__(self) -> None:
        self.speak = Event()
        self.asked: list[str] = []
        self._lock = Lock()

    def __call__(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        with self._lock:
            self.asked.append(host)
        if host == "unknown":
            raise socket.gaierror
        if host == "silent":
            self.speak.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    made = Resolver()
    yield made
    made.speak.set()


async def test_a_name_of_which_nothing_is_heard_holds_one_thread_however_many_ask(resolver: Resolver) -> None:
    look_ups = OwnLookUps(2, ask=resolver)
    waiting = [asyncio.create_task(look_ups("silent", 443)) for _ in range(10)]
    for host in ("a", "b", "c"):
        [found] = await look_ups(host, 443)
        assert found[4] == ("192.0.2.1", 443)
    assert sorted(resolver.asked) == ["a", "b", "c", "silent"]
    waiting[0].cancel()  # takes nothing away from the others
    await asyncio.wait({waiting[0]})
    resolver.speak.set()
    assert len(await asyncio.gather(*waiting[1:])) == 9
    await look_ups("silent", 443)  # an answer is not kept
    assert resolver.asked.count("silent") == 2
    look_ups.close()


async def test_a_name_that_does_not_resolve_is_told_to_all_and_asked_about_again(resolver: Resolver) -> None:
    look_ups = OwnLookUps(1, ask=resolver)
    told = await asyncio.gather(*(look_ups("unknown", 443) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [socket.gaierror] * 3
    with pytest.raises(socket.gaierror):
        await look_ups("unknown", 443)
    assert resolver.asked == ["unknown"] * 2
    look_ups.close()


async def test_a_real_name_is_found() -> None:
    look_ups = OwnLookUps(1)
    assert ("127.0.0.1", 80) in {found[4] for found in await look_ups("localhost", 80)}
    look_ups.close()
