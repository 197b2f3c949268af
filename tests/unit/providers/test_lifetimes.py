"""How long tokens live."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenkeep.providers.lifetimes import KnownLife, RefreshEnd, access_expiry, folded, refresh_end

SENT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EPOCH_S = int((SENT + HOUR).timestamp())


def expiry(fields: dict[str, Any], token: str = "at", known: KnownLife | None = None) -> datetime | None:
    return access_expiry(folded(fields), token, sent_at=SENT, known=known or KnownLife())


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
        (1_814_400_000, timedelta(days=21)),
        (5_184_000_000, timedelta(days=60)),
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
        {"refreshTokenExpiresIn": 7200.0},
        {"refresh_token_expires": 7200},
        {"refresh_token_expires_at": "2026-05-01T14:00:00Z"},
        {"refreshExpiresAt": (EPOCH_S + 3600) * 1000},
        {"refresh_token_expire_in": EPOCH_S + 3600},
        {"refresh_token_expires_in": str(EPOCH_S + 3600)},
        {"refresh_expires_in": 0, "refresh_expires_at": EPOCH_S + 3600},
        {"refresh_expires_in": -1, "refresh_expires_at": EPOCH_S + 3600},
        {"refresh_expires_in": None, "refresh_expires_at": EPOCH_S + 3600},
    ],
)
@pytest.mark.parametrize("token", ["rt", None, a_jwt(exp=EPOCH_S)])
@pytest.mark.parametrize("usual", [None, HOUR])
def test_what_the_answer_tells_of_a_refresh_tokens_end_comes_first(
    fields: dict[str, Any], token: str | None, usual: timedelta | None
) -> None:
    assert refresh_end(folded(fields), token, sent_at=SENT, usual=usual) == RefreshEnd(SENT + 2 * HOUR)


@pytest.mark.parametrize(
    ("value", "life"),
    [
        (15_552_000, timedelta(days=180)),
        (8_580_000, timedelta(seconds=8_580_000)),
        (1_800_000, timedelta(seconds=1_800_000)),
        (157_680_000, timedelta(days=5 * 365)),
        (1_209_600_000, timedelta(days=14)),
        (7_776_000_000, timedelta(days=90)),
        (86_400_000, timedelta(days=1)),
    ],
)
def test_what_is_left_of_months_is_not_taken_for_milliseconds(value: int, life: timedelta) -> None:
    assert refresh_end(folded({"refresh_token_expires_in": value}), "rt", sent_at=SENT) == RefreshEnd(SENT + life)


@pytest.mark.parametrize("value", [0, "0", 0.0])
@pytest.mark.parametrize("name", ["refresh_expires_in", "refresh_token_expires_at"])
def test_a_refresh_life_of_zero_means_no_end_whatever_is_usual(name: str, value: object) -> None:
    token = a_jwt(exp=EPOCH_S)
    assert refresh_end(folded({name: value}), token, sent_at=SENT, usual=HOUR) == RefreshEnd(endless=True)


@pytest.mark.parametrize("value", [None, -1, "-5", "soon", True, "", [], float("nan"), "2020-01-01T00:00:00Z"])
def test_a_refresh_life_without_sense_tells_nothing(value: object) -> None:
    fields = {"refresh_token_expires_in": value}
    assert refresh_end(folded(fields), "rt", sent_at=SENT) == RefreshEnd()
    assert refresh_end(folded(fields), "rt", sent_at=SENT, usual=HOUR) == RefreshEnd(SENT + HOUR, derived=True)


def test_the_usual_life_begins_with_a_refresh_token_and_not_without_one() -> None:
    assert refresh_end(folded({}), "rt", sent_at=SENT, usual=HOUR) == RefreshEnd(SENT + HOUR, derived=True)
    assert refresh_end(folded({}), None, sent_at=SENT, usual=HOUR) == RefreshEnd()


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (a_jwt(exp=EPOCH_S, typ="Refresh"), SENT + HOUR),
        (a_jwt(exp=EPOCH_S - 3600), None),
        (a_jwt(exp=EPOCH_S - 86_400), None),
        (a_jwt(exp=0), None),
        (a_jwt(typ="Offline"), None),
        ("opaque", None),
        ("a.%%%.c", None),
        (None, None),
    ],
)
def test_a_refresh_token_that_is_a_jwt_tells_its_end_where_nothing_else_does(
    token: str | None, end: datetime | None
) -> None:
    assert refresh_end(folded({}), token, sent_at=SENT) == RefreshEnd(end)
