"""How long tokens live, from whatever a provider puts in the place of `expires_in`."""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NewType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_LIFE = timedelta(days=3650)
"""Longer lives are cut to this; some providers write a century for never."""

_NUMBER = re.compile(r"\s*([+-]?\d{1,18}(?:\.\d{0,9})?(?:[eE][+]?\d{1,2})?)\s*(?:s|secs?|seconds)?\s*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3}){1,5}")
_LONGEST_NUMBER = 64
_EARLIEST_EPOCH_S = 1_000_000_000
_EARLIEST_EPOCH_MS = 100_000_000_000
_EARLIEST_EPOCH_US = 100_000_000_000_000

Folded = NewType("Folded", Mapping[str, object])
"""The members of an answer by their names in one spelling."""

_LONGEST_DATE = 64
_JOINTS = str.maketrans("", "", "_-. ")

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_SHORTEST_MS = 600_000
_DAY_S = 86_400
_YEAR_S = 31_536_000
_BELIEVABLE_S = 400 * _DAY_S
_LONGEST_JWT = 16_384


def folded(fields: Mapping[str, Any]) -> "Folded":
    """The members of an answer, however their names are written: `expires_in`, `expiresIn`, `ExpiresIn`, `.expires`."""
    found: dict[str, object] = {}
    for name, value in fields.items():
        found.setdefault(_folded(name), value)
    return Folded(found)


def _folded(name: str) -> str:
    return name.lower().translate(_JOINTS)


_RELATIVE = tuple(map(_folded, (
    "expires_in", "expire_in", "expires", "expire_time", "access_token_expires_in",
)))  # fmt: skip
_ABSOLUTE = tuple(map(_folded, (
    "expires_at", "expires_on", "access_token_expires_at", "access_token_expiration", "access_token_expire_in",
    "expiry_date", "expiry", "expiration",
)))  # fmt: skip
_REFRESH_RELATIVE = tuple(map(_folded, (
    "refresh_token_expires_in", "x_refresh_token_expires_in", "refresh_expires_in", "refresh_token_expires",
)))  # fmt: skip
_REFRESH_ABSOLUTE = tuple(map(_folded, (
    "refresh_token_expires_at", "refresh_expires_at", "refresh_token_expiration", "refresh_token_expire_in",
)))  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownLife:
    """What is known of a token set's lives besides the answer: the entry's or source's value, and the last life.

    `refresh` is the refresh token's, from its issue; the others are the access token's.
    """

    usual: timedelta | None = None
    last: timedelta | None = None
    refresh: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RefreshEnd:
    """When a refresh token ends; `at` None: that is not known.

    `derived`: it follows from the usual life alone, and no word of the provider's has it. `endless`: the answer says that
    there is no end.
    """

    at: datetime | None = None
    derived: bool = False
    endless: bool = False


def access_expiry(fields: Folded, access_token: str, *, sent_at: datetime, known: KnownLife) -> datetime | None:
    """When the access token expires; None when nothing tells, which means that it does not.

    In this order: the answer's own words; the usual life or the token's `exp` if it is a JWT, whichever ends first; the last
    known life. The count starts when the request left, so the result errs on the early side.
    """
    told = _told(fields, _RELATIVE, _ABSOLUTE, sent_at)
    if told is not None:
        return told
    exp = _jwt_expiry(access_token, sent_at)
    usual = None if known.usual is None else _after(sent_at, known.usual.total_seconds())
    ends = [end for end in (usual, exp) if end is not None]
    if ends or known.last is None:
        return min(ends, default=None)
    return _after(sent_at, known.last.total_seconds())


def refresh_end(
    fields: Folded, refresh_token: str | None, *, sent_at: datetime, usual: timedelta | None = None
) -> RefreshEnd:
    """When the refresh token ends that an answer, or an import, is about.

    In this order: the answer's own words, where 0 means that there is no end; the usual life of a token that the answer
    names; that token's `exp` if it is a JWT and the moment is to come.
    """
    told = _told(fields, _REFRESH_RELATIVE, _REFRESH_ABSOLUTE, sent_at, least_ms=_BELIEVABLE_S)
    if told is not None:
        return RefreshEnd(told)
    if any(number_of(fields[name]) == 0 for name in (*_REFRESH_RELATIVE, *_REFRESH_ABSOLUTE) if name in fields):
        return RefreshEnd(endless=True)
    if refresh_token is None:
        return RefreshEnd()
    if usual is not None:
        return RefreshEnd(_after(sent_at, usual.total_seconds()), derived=True)
    return RefreshEnd(_jwt_expiry(refresh_token, sent_at))


def number_of(value: object) -> float | None:
    """A finite number, from a number or from a text that is one. True and False are none."""
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER:
            return None
        match = _NUMBER.fullmatch(value.replace(",", "") if _GROUPED.fullmatch(value.strip()) else value)
        return float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _told(
    fields: Folded,
    relative: tuple[str, ...],
    absolute: tuple[str, ...],
    sent_at: datetime,
    *,
    least_ms: int = _SHORTEST_MS,
) -> datetime | None:
    """The first usable of the named members. A span is believed before a moment: it does not depend on clocks."""
    for names in (relative, absolute):
        for name in names:
            moment = _moment(fields[name], sent_at, least_ms=least_ms) if name in fields else None
            if moment is not None:
                return moment
    return None


def _moment(value: object, sent_at: datetime, *, least_ms: int = _SHORTEST_MS) -> datetime | None:
    """One value as a moment after `sent_at`. Large numbers are moments and small ones spans, whatever their name."""
    number = number_of(value)
    if number is None:
        return _dated(value, sent_at) if isinstance(value, str) else None
    if number <= 0:
        return None
    if _EARLIEST_EPOCH_S <= number <= _LONGEST_LIFE.total_seconds() * 1e3 and not number % _DAY_MS:
        # Whole days in milliseconds; of the seconds since 1970, hardly one is such a number.
        return _after(sent_at, number / 1e3)
    for threshold, unit in ((_EARLIEST_EPOCH_US, 1e6), (_EARLIEST_EPOCH_MS, 1e3), (_EARLIEST_EPOCH_S, 1.0)):
        if number >= threshold:
            return _after(sent_at, number / unit - (sent_at - _EPOCH).total_seconds())
    return _after(sent_at, number / 1e3 if number >= least_ms and _is_milliseconds(number) else number)


def _is_milliseconds(number: float) -> bool:
    """Whether a span that should be in seconds is in milliseconds.

    3,600,000 is a thousand hours or one. Real long lives are whole days or years, and milliseconds of whole minutes
    are not; beyond 400 days only whole years are believed. A span that is read too short costs an early refresh, one
    that is read too long costs an outage.

    Refresh tokens are asked only beyond 400 days: providers tell what is left of months, second by second, and now and
    then that is a whole number of minutes.
    """
    if number % _MINUTE_MS:
        return False
    if number >= _BELIEVABLE_S:
        return bool(number % _YEAR_S)
    return bool(number % _DAY_S)


def _dated(text: str, sent_at: datetime) -> datetime | None:
    """ISO 8601, or a date as in a header (RFC 9110, section 5.6.7); one without an offset is taken for UTC."""
    if len(text) > _LONGEST_DATE:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.strip().removesuffix(" UTC"))
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return _after(sent_at, (aware - sent_at).total_seconds())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _after(sent_at: datetime, seconds: float) -> datetime | None:
    if seconds <= 0:
        return None
    return sent_at + timedelta(seconds=min(seconds, _LONGEST_LIFE.total_seconds()))


def _jwt_expiry(token: str, sent_at: datetime) -> datetime | None:
    """The `exp` of a JWT (RFC 7519, section 4.1.4), read without a check of the signature: it decides nothing else."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST_JWT:  # noqa: PLR2004 - header, payload, signature
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    exp = number_of(payload.get("exp")) if isinstance(payload, dict) else None
    return None if exp is None or exp < _EARLIEST_EPOCH_S else _moment(exp, sent_at)
