"""Consumers that die, hang and stop, over a real Valkey."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from told_events import Consumers, Teller, disorder, first_seen, ids, until

Making = Callable[..., Consumers]
LEASE_S = 0.6
LONG_LEASE_S = 4.0
"""For those who must not lose it while the machine is slow."""

pytestmark = pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])


def handled(consumers: Consumers) -> list[str]:
    return [line.id for line in consumers.lines("done")]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "shared"])
async def test_what_a_killed_consumer_had_is_taken_over_by_another(
    teller: Teller, consumers: Making, tmp_path: Path, *, is_async: bool, ordered: bool
) -> None:
    group = consumers(ordered=ordered, lease=LEASE_S)
    gate = tmp_path / "gate"
    gate.touch()
    victim = group.start(is_async=is_async, gate=gate)
    teller.tell(*["a", "b"] * 10)
    await until(lambda: len(group.lines("begun")) == 1)
    victim.kill()
    gate.unlink()
    group.start(is_async=is_async)
    await until(lambda: len(set(handled(group))) == 20)
    assert sorted(handled(group)) == sorted(ids(teller.told)), "nothing but the event under way was begun twice"
    if ordered:
        assert handled(group) == ids(teller.told)
    await until(lambda: teller.pending("billing") == 0)


async def test_a_consumer_that_hangs_is_replaced_and_notices_when_it_wakes(
    teller: Teller, consumers: Making, tmp_path: Path, *, is_async: bool
) -> None:
    group = consumers(lease=LONG_LEASE_S)
    gate = tmp_path / "gate"
    gate.touch()
    sleeper = group.start(is_async=is_async, gate=gate)
    teller.tell(*["a"] * 5)
    await until(lambda: len(group.lines("begun")) == 1)
    sleeper.send_signal(signal.SIGSTOP)
    gate.unlink()
    other = group.start(is_async=is_async)
    await until(lambda: len(handled(group)) == 5)
    sleeper.send_signal(signal.SIGCONT)
    await until(lambda: len(handled(group)) == 6)
    teller.tell(*["a"] * 5)
    await until(lambda: len(set(handled(group))) == 10)
    of_the_sleeper = [line.sequence for line in group.lines("begun") if line.pid == sleeper.pid]
    assert of_the_sleeper == [1], "it was refused when it wanted to go on"
    assert disorder(group.lines("begun")) == []
    assert {line.pid for line in group.lines("done")} == {sleeper.pid, other.pid}
    await until(lambda: teller.pending("billing") == 0)


async def test_what_a_hanging_one_had_is_taken_over_by_those_that_share_and_not_acknowledged_by_it(
    teller: Teller, consumers: Making, tmp_path: Path, *, is_async: bool
) -> None:
    group = consumers(ordered=False, lease=LONG_LEASE_S)
    gate = tmp_path / "gate"
    gate.touch()
    sleeper = group.start(is_async=is_async, gate=gate)
    teller.tell(*["a"] * 5)
    await until(lambda: len(group.lines("begun")) == 1)
    sleeper.send_signal(signal.SIGSTOP)
    gate.unlink()
    group.start(is_async=is_async)
    await until(lambda: len(handled(group)) == 5)
    sleeper.send_signal(signal.SIGCONT)
    await until(lambda: len(handled(group)) == 6)
    teller.tell(*["a"] * 5)
    await until(lambda: len(set(handled(group))) == 10)
    assert len(handled(group)) == 11, "only the event that it had begun was handled twice"
    await until(lambda: teller.pending("billing") == 0)


async def test_a_handler_may_take_longer_than_the_lease(
    teller: Teller, consumers: Making, tmp_path: Path, *, is_async: bool
) -> None:
    group = consumers(lease=LONG_LEASE_S)
    gate = tmp_path / "gate"
    gate.touch()
    group.start(is_async=is_async, gate=gate)
    group.start(is_async=is_async, gate=gate)
    teller.tell("a", "a")
    await until(lambda: len(group.lines("begun")) == 1)
    # How long the handler takes, not a wait for something to have happened.
    await asyncio.sleep(LONG_LEASE_S * 1.5)
    gate.unlink()
    await until(lambda: len(handled(group)) == 2)
    assert handled(group) == ids(teller.told)
    assert len({line.pid for line in group.lines()}) == 1
    await until(lambda: teller.pending("billing") == 0)


async def test_one_that_is_told_to_stop_ends_its_handler_and_hands_over(
    teller: Teller, consumers: Making, tmp_path: Path, *, is_async: bool
) -> None:
    group = consumers(lease=60)
    gate = tmp_path / "gate"
    gate.touch()
    first = group.start(is_async=is_async, gate=gate)
    teller.tell(*["a"] * 5)
    await until(lambda: len(group.lines("begun")) == 1)
    second = group.start(is_async=is_async)
    first.send_signal(signal.SIGTERM)
    assert first.stdout is not None
    assert await asyncio.to_thread(first.stdout.readline) == "stopping\n"
    gate.unlink()
    assert first.wait(30) == 0
    await until(lambda: len(handled(group)) == 5)
    assert handled(group) == ids(teller.told), "nothing was handled twice, though the lease would have lasted a minute"
    assert [line.pid for line in group.lines("done")] == [first.pid] + [second.pid] * 4


async def test_consumers_that_are_killed_at_random_miss_nothing_and_keep_the_order(
    teller: Teller, consumers: Making, *, is_async: bool
) -> None:
    group = consumers(lease=LEASE_S)
    chance = random.Random(7)  # noqa: S311 - which one is killed is no secret
    names = [f"account-{chance.randrange(20)}" for _ in range(400)]

    def start() -> "subprocess.Popen[str]":
        return group.start(is_async=is_async, takes=0.002)

    running = [start(), start()]
    for part in range(8):
        teller.tell(*names[part * 50 : part * 50 + 50])
        seen = len(set(handled(group)))
        await until(lambda seen=seen: len(set(handled(group))) > seen)  # type: ignore[misc]
        victim = running.pop(chance.randrange(2))
        victim.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        running.append(start())
    await until(lambda: len(set(handled(group))) == 400)
    assert disorder(group.lines("begun")) == []
    assert [line.id for line in first_seen(group.lines("done"))] == ids(teller.told)
    await until(lambda: teller.pending("billing") == 0)
