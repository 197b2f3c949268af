"""Answers whose own numbers say more than their error code. Known by their shape, whatever the source is called.

Numbers that are missing here fall back to the general rules, as their owners advise.
"""

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.providers.answer_body import Body
from tokenkeep.providers.meaning import Meaning, Reading

_AADSTS = re.compile(r"aadsts ?(\d{4,8})")
_MICROSOFT: Mapping[int, Meaning] = {
    **dict.fromkeys(
        (
            50034,
            50055,
            50057,
            50072,
            50074,
            50076,
            50078,
            50079,
            50125,
            50129,
            50132,
            50133,
            50140,
            50144,
            50158,
            50173,
            50177,
            50178,
            53004,
            54005,
            65001,
            65004,
            70008,
            70043,
            70044,
            700081,
            700082,
            700084,
        ),
        Meaning.REVOKED,
    ),
    **dict.fromkeys(
        (
            50001,
            50011,
            50013,
            50059,
            50146,
            65002,
            70001,
            70011,
            90002,
            500011,
            650052,
            650056,
            700016,
            700024,
            700025,
            700027,
            700030,
            700051,
            7000112,
            7000215,
            7000218,
            7000222,
            9002326,
        ),
        Meaning.CLIENT_MISCONFIGURED,
    ),
    **dict.fromkeys((50196, 90055), Meaning.RATE_LIMITED),
    **dict.fromkeys((50087, 90033), Meaning.TRANSIENT),
    **dict.fromkeys((90014, 900144, 9002313), Meaning.INVALID_REQUEST),
    **dict.fromkeys((50020, 50053, 50089, 50105, 50131, 53000, 53001, 53002, 53003, 70000, 501051), Meaning.UNCLEAR),
}
"""https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""

_FACEBOOK: Mapping[int, Meaning] = {
    **dict.fromkeys((4, 17, 32, 341, 613, *range(80000, 80015)), Meaning.RATE_LIMITED),
    **dict.fromkeys((101,), Meaning.CLIENT_MISCONFIGURED),
    **dict.fromkeys((190,), Meaning.REVOKED),
}
_FACEBOOK_APP = re.compile(
    r"validating application|application info|appsecret|application has been (?:deleted|disabled)"
)
_FACEBOOK_CODES = frozenset({1, 2, 10, *_FACEBOOK})
_FACEBOOK_UNSURE = frozenset({459, 464})
"""Subcodes of 190 that the user can clear at Facebook, without a new grant."""

_WITHINGS: Mapping[int, Meaning] = {
    401: Meaning.REVOKED,
    503: Meaning.REVOKED,  # bad parameters, which is what a dead token is called there; not an outage
    601: Meaning.RATE_LIMITED,
    2555: Meaning.TRANSIENT,
}


def read_dialect(body: Body) -> Reading | None:
    """The meaning of an answer in a provider's own numbers, or None when it holds none that we know."""
    return _microsoft(body) or _facebook(body.fields) or _withings(body.fields)


def _microsoft(body: Body) -> Reading | None:
    """Microsoft: the last AADSTS number of the text, else of `error_codes`. The first is often only a frame."""
    numbers = [int(digits) for digits in _AADSTS.findall(body.text)]
    listed = body.fields.get("error_codes")
    if not numbers and isinstance(listed, list):
        numbers = [_integer(number) for number in listed[:20]]
    if not numbers or numbers[-1] not in _MICROSOFT:
        return None
    error = body.fields.get("error")
    code = error if isinstance(error, str) else None
    return Reading(_MICROSOFT[numbers[-1]], code, f"AADSTS{numbers[-1]}")


def _facebook(fields: Mapping[str, Any]) -> Reading | None:
    """Facebook and Instagram Graph: every fault is an OAuthException, the numbers tell which."""
    error = fields.get("error")
    if not isinstance(error, dict) or error.get("type") != "OAuthException":
        return None
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    if "fbtrace_id" not in error and subcode < 0 and code not in _FACEBOOK_CODES:
        return None  # others have borrowed the name
    name, detail = "OAuthException", str(subcode if subcode > 0 else code)
    message = error.get("message")
    if code == 1 and isinstance(message, str) and "client secret" in message.lower():
        return Reading(Meaning.CLIENT_MISCONFIGURED, name, detail)
    if error.get("is_transient") is True and _FACEBOOK.get(code) is not Meaning.RATE_LIMITED:
        return Reading(Meaning.TRANSIENT, name, detail)
    if isinstance(message, str) and _FACEBOOK_APP.search(message.lower()):
        return Reading(Meaning.CLIENT_MISCONFIGURED, name, detail)
    meaning = _FACEBOOK.get(code, Meaning.UNCLEAR)
    if meaning is Meaning.REVOKED and subcode in _FACEBOOK_UNSURE:
        meaning = Meaning.UNCLEAR
    return Reading(meaning, name, detail)


def _withings(fields: Mapping[str, Any]) -> Reading | None:
    """Withings: HTTP 200 around a status of its own, beside an object `body`."""
    status, error = _integer(fields.get("status")), fields.get("error")
    if not isinstance(fields.get("body"), dict) or status not in _WITHINGS:
        return None
    if _WITHINGS[status] is Meaning.REVOKED:
        # Other things wrap outages in such a shape; Withings names the cause and leaves the body empty.
        if fields.get("body") or not isinstance(error, str):
            return None
        if "client" in error.lower():
            return Reading(Meaning.CLIENT_MISCONFIGURED, str(status))
    return Reading(_WITHINGS[status], str(status))


def _integer(value: object) -> int:
    """The number, or -1 when it is none or far too long for a code."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and isinstance(value, int) and abs(value) < 10**9 else -1
