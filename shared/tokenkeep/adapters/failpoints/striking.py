"""Counts how often points are reached, and lets happen there what was armed."""

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import assert_never

import structlog

from tokenkeep.adapters.failpoints.spec import Action, Armed, Point, parse

_log = structlog.get_logger("tokenkeep.failpoints")


class FailedOnPurpose(Exception):
    """What an armed failpoint raises. Like a fault of our own that nobody foresaw, it is in no tree of errors."""


class Failpoints:
    """The failpoints of one process."""

    def __init__(self, armed: Sequence[Armed]) -> None:
        self._armed: dict[Point, list[Armed]] = defaultdict(list)
        for one in armed:
            self._armed[one.point].append(one)
        self._hits: Counter[Point] = Counter()

    def hit(self, point: Point) -> None:
        """The process is at this point. May not return.

        Raises:
            FailedOnPurpose: It was armed with `raise`.
        """
        if point not in self._armed:
            return
        self._hits[point] += 1
        for one in self._armed[point]:
            if one.strikes(self._hits[point]):
                _log.warning("failpoint_struck", point=point.value, action=one.action.value, hit=self._hits[point])
                _strike(one)


def arm(spec: str) -> Failpoints:
    """The failpoints that a specification arms. Says so in the log: nobody should find them on by chance.

    Raises:
        SettingsError: It can't be understood.
    """
    armed = parse(spec)
    _log.warning("failpoints_are_armed", spec=spec, pid=os.getpid())
    return Failpoints(armed)


def _strike(one: Armed) -> None:
    match one.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.RAISE:
            raise FailedOnPurpose(one.point.value)
        case Action.PAUSE:
            time.sleep(one.seconds)
        case _:
            assert_never(one.action)
