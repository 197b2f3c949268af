"""How long a provider asks us to wait."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tokenkeep.providers.answer_body import Body
from tokenkeep.providers.lifetimes import number_of

LONGEST_WAIT = timedelta(hours=1)
"""No answer holds us back for longer, whatever it says."""

_IN_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESETS = ("ratelimit-reset", "fitbit-rate-limit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
_IN_BODY = (
    ("retry_after",),
    ("wait_seconds",),
    ("error", "retry_after"),
    ("body", "wait_seconds"),
    ("parameters", "retry_after"),
)
_IN_WORDS = re.compile(r"(?:again|retry) (?:in|after) (\d{1,6}) ?s(?:ec|\b)")
_EARLIEST_EPOCH_S = 1_000_000_000
_EARLIEST_EPOCH_MS = 100_000_000_000


def asked_wait(headers: Mapping[str, str], body: Body, *, now: datetime) -> timedelta | None:
    """The wait that headers or body ask for, at most `LONGEST_WAIT`; None when they ask for none that can be read."""
    seconds = _of_retry_after(headers, now)
    if seconds is None:
        seconds = next((found for place in _IN_BODY if (found := _at(body.fields, place)) is not None), None)
    if seconds is None and (match := _IN_WORDS.search(body.text)):
        seconds = float(match[1])
    return _bounded(seconds)


def window_reset(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """When the window of a rate limit ends. Only for answers that were throttled: healthy ones carry it as well."""
    for name in _RESETS:
        number = number_of(headers.get(name))
        if number is None:
            continue
        if number >= _EARLIEST_EPOCH_MS:
            number /= 1e3
        return _bounded(number - now.timestamp() if number >= _EARLIEST_EPOCH_S else number)
    return None


def header_wait(headers: Mapping[str, str], *, now: datetime, longest: timedelta) -> timedelta | None:
    """The wait that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3), at most `longest`."""
    seconds = _of_retry_after(headers, now)
    return None if seconds is None else _bounded(seconds, longest)


def _of_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    for name in _IN_MILLISECONDS:
        number = number_of(headers.get(name))
        if number is not None:
            return number / 1e3
    value = headers.get("retry-after")
    if value is None:
        return None
    number = number_of(value)
    return _until(value, now) if number is None else number


def _until(date: str, now: datetime) -> float | None:
    """The seconds until an HTTP date (RFC 9110, section 10.2.3)."""
    try:
        moment = parsedate_to_datetime(date)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _at(fields: Mapping[str, Any], place: tuple[str, ...]) -> float | None:
    node: Any = fields
    for name in place:
        node = node.get(name) if isinstance(node, dict) else None
    return number_of(node)


def _bounded(seconds: float | None, longest: timedelta = LONGEST_WAIT) -> timedelta | None:
    if seconds is None:
        return None
    return timedelta(seconds=min(max(seconds, 0.0), longest.total_seconds()))
