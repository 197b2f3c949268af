"""What dramatiq's consumers say while Redis is away: every three seconds, each of them, at the level critical.

A worker goes on without them and says so itself, so a warning a minute is what that is worth.
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

import redis.exceptions

_CONSUMERS: Final = "dramatiq.worker.ConsumerThread"
_CONNECTION_LOST: Final = "Consumer encountered a connection error: %s"
EVERY_S: Final = 60.0


class ConsumerNoise(logging.Filter):
    """Lets one line a minute pass that says the queue can't be had, as a warning, and everything else as it is.

    Args:
        now: A clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now = now
        self._silent_until = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record becomes a line."""
        if not record.name.startswith(_CONSUMERS) or not _is_of_redis(record):
            return True
        now = self._now()
        if now < self._silent_until:
            return False
        self._silent_until = now + EVERY_S
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return logging.getLogger().isEnabledFor(logging.WARNING)


def _is_of_redis(record: logging.LogRecord) -> bool:
    """Whether it tells that Redis can't be had. A time that ran out is no connection error to dramatiq."""
    if record.msg == _CONNECTION_LOST:
        return True
    fault = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return isinstance(fault, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError)
