"""What a look at one thing came to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How things stand."""

    OK = "ok"
    WARNING = "warning"
    """It works, and will not under some circumstance that comes sooner or later."""
    FAULT = "fault"
    """Something does not work, does not answer, or a promise is not kept."""
    UNSEEN = "not_looked_at"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: what was seen, and what to do about it. Neither ever holds a secret.

    `check` is its constant name, such as `postgres.clock`. Of a thing that was not looked at, `saw` says why.
    """

    check: str
    level: Level
    saw: str
    do: str | None = None


def ok(check: str, saw: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, saw)


def warning(check: str, saw: str, do: str) -> Finding:
    """It may go wrong."""
    return Finding(check, Level.WARNING, saw, do)


def fault(check: str, saw: str, do: str) -> Finding:
    """It is wrong."""
    return Finding(check, Level.FAULT, saw, do)


def unseen(check: str, because: str) -> Finding:
    """It was not looked at."""
    return Finding(check, Level.UNSEEN, because)


def count(findings: Sequence[Finding]) -> dict[Level, int]:
    """How many there are of each level."""
    return {level: sum(one.level is level for one in findings) for level in Level}


Check = Callable[[], Awaitable[Sequence[Finding]]]
"""Looks at some things. It answers for its own errors: what it raises is told as a fault of the check."""


async def look(
    checks: Mapping[str, Check], *, deadline_s: float, whole_deadline_s: float
) -> AsyncIterator[Sequence[Finding]]:
    """The findings of all checks, in their order; they look side by side.

    Args:
        checks: By the name under which one is told that did not end.
        deadline_s: What each may take, in seconds.
        whole_deadline_s: What all of them may take together.
    """
    until = asyncio.get_running_loop().time() + whole_deadline_s
    tasks = {name: asyncio.create_task(_looked(name, check, deadline_s)) for name, check in checks.items()}
    try:
        for name, task in tasks.items():
            left_s = max(until - asyncio.get_running_loop().time(), 0.0)
            await asyncio.wait({task}, timeout=left_s)
            yield task.result() if task.done() else [_late(name, f"within the {whole_deadline_s:g} s of all checks")]
    finally:
        for task in tasks.values():
            task.cancel()


async def _looked(name: str, check: Check, deadline_s: float) -> Sequence[Finding]:
    looking = asyncio.ensure_future(check())
    done, _ = await asyncio.wait({looking}, timeout=deadline_s)
    if not done:
        looking.cancel()  # one that does not heed it is not waited for
        looking.add_done_callback(_acknowledge)
        return [_late(name, f"within {deadline_s:g} s")]
    error = looking.exception()
    if error is None:
        return looking.result()
    # The kind alone: what it says may quote an address.
    return [fault(name, f"the check itself failed ({type(error).__name__})", "report this as a defect of tokenkeep")]


def _late(name: str, within: str) -> Finding:
    do = "see whether what it asks is away or overloaded; --deadline gives the checks more time"
    return fault(name, f"this did not end {within}, and nothing of it is known", do)


def _acknowledge(late: "asyncio.Future[Sequence[Finding]]") -> None:
    """Ask for a late check's error, or the loop complains, with its text, that nobody did."""
    if not late.cancelled():
        late.exception()
