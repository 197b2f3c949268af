"""How long tokens live."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenkeep.providers.lifetimes import KnownLife, access_expiry, refresh_expiry

SENT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EPOCH_S = int((SENT + HOUR).timestamp())


def expiry(fields: dict[str, Any], token: str = "at", known: KnownLife | None = None) -> datetime | None:
    return access_expiry(fields, token, sent_at=SENT, known=known or KnownLife())


def a_jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": 3600},
        {"expires_in": "3600"},
        {"expires_in": " 3600.0 "},
        {"expires_in": 3600.0},
        {"expires_in": 3_600_000},
        {"expires_in": EPOCH_S},
        {"expires_in": EPOCH_S * 1000},
        {"expires_in": str(EPOCH_S)},
        {"expires_at": EPOCH_S},
        {"expires_at": str(EPOCH_S * 1000)},
        {"expires_at": "2026-05-01T13:00:00Z"},
        {"expires_at": "2026-05-01T13:00:00"},
        {"expires_at": "2026-05-01T15:00:00.000+02:00"},
        {"expires_at": 3600},
        {"expires_on": str(EPOCH_S)},
        {"expiry_date": EPOCH_S * 1000},
        {"expire_in": 3600},
        {"expiresIn": 3600},
        {"expires_in": 0, "expires_at": EPOCH_S},
        {"expires_in": None, "expires_at": EPOCH_S},
        {"expires_in": 3600, "expires_at": EPOCH_S - 999},
    ],
)
def test_an_hour_is_an_hour_however_it_is_written(fields: dict[str, Any]) -> None:
    assert expiry(fields) == SENT + HOUR


@pytest.mark.parametrize(
    ("seconds", "life"),
    [
        (1, timedelta(seconds=1)),
        (1800, timedelta(minutes=30)),
        (599_999, timedelta(seconds=599_999)),
        (604_800, timedelta(days=7)),
        (5_184_000, timedelta(days=60)),
        (5_183_944, timedelta(seconds=5_183_944)),
        (31_536_000, timedelta(days=365)),
        (157_680_000, timedelta(days=5 * 365)),
        (7_200_000, timedelta(hours=2)),
        (86_400_000, timedelta(days=1)),
        (604_800_000, timedelta(days=7)),
    ],
)
def test_milliseconds_are_told_from_long_lives(seconds: int, life: timedelta) -> None:
    assert expiry({"expires_in": seconds}) == SENT + life


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "soon"},
        {"expires_in": True},
        {"expires_in": None},
        {"expires_in": float("nan")},
        {"expires_in": [3600]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_at": EPOCH_S - 86_400},
    ],
)
def test_a_life_that_cannot_be_true_falls_back_to_what_is_known(fields: dict[str, Any]) -> None:
    assert expiry(fields) is None
    assert expiry(fields, known=KnownLife(last=HOUR)) == SENT + HOUR
    assert expiry(fields, known=KnownLife(usual=HOUR / 2, last=HOUR)) == SENT + HOUR / 2


def test_a_jwt_tells_its_own_end_when_the_answer_does_not() -> None:
    token = a_jwt(exp=EPOCH_S)
    assert expiry({}, token) == SENT + HOUR
    assert expiry({}, token, KnownLife(last=HOUR * 9)) == SENT + HOUR
    assert expiry({"expires_in": 60}, token) == SENT + timedelta(minutes=1)


@pytest.mark.parametrize("token", ["a.b.c", "a.%%%.c", "a..c", "a.bnVsbA.c", a_jwt(exp="x"), a_jwt(exp=1), a_jwt()])
def test_a_token_that_only_looks_like_a_jwt_tells_nothing(token: str) -> None:
    assert expiry({}, token) is None


@pytest.mark.parametrize("value", [9_999_999_999, 10**17, 1e300, "9999-12-31T23:59:59Z"])
def test_lives_without_sense_are_cut_to_ten_years(value: object) -> None:
    assert expiry({"expires_in": value, "expires_at": value}) == SENT + timedelta(days=3650)


@pytest.mark.parametrize(
    "fields",
    [
        {"refresh_token_expires_in": 7200},
        {"x_refresh_token_expires_in": "7200"},
        {"refresh_expires_in": 7200},
        {"refreshTokenExpiresIn": 7200},
        {"refresh_token_expires_at": "2026-05-01T14:00:00Z"},
    ],
)
def test_a_refresh_tokens_end_is_read_under_its_many_names(fields: dict[str, Any]) -> None:
    assert refresh_expiry(fields, sent_at=SENT) == SENT + 2 * HOUR


def test_a_refresh_life_of_zero_means_no_end() -> None:
    assert refresh_expiry({"refresh_expires_in": 0}, sent_at=SENT) is None
