"""How long a provider asks us to wait."""

from datetime import UTC, datetime, timedelta

import pytest

from tokenkeep.domain.verdict import RateLimited, Unavailable
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.classify import classify
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.waits import LONGEST_WAIT, header_wait

NOW = datetime(2026, 10, 21, 7, 27, 0, tzinfo=UTC)
RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/token")


def wait(headers: dict[str, str], body: bytes = b"", status: int = 429) -> timedelta | None:
    verdict = classify(Answer(status, headers, body), RULES, sent_at=NOW, now=NOW)
    assert isinstance(verdict, RateLimited | Unavailable)
    return verdict.retry_after


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "30"}, b"", 30),
        ({"retry-after": "1.5"}, b"", 1.5),
        ({"retry-after": "0"}, b"", 0),
        ({"retry-after": "-5"}, b"", 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", 60),
        ({"retry-after": "Wed, 21 Oct 2020 07:28:00 GMT"}, b"", 0),
        ({"retry-after-ms": "1500"}, b"", 1.5),
        ({"ratelimit-reset": "12"}, b"", 12),
        ({"fitbit-rate-limit-reset": "12"}, b"", 12),
        ({"x-rate-limit-reset": str(int(NOW.timestamp()) + 90)}, b"", 90),
        ({"x-ratelimit-reset": str((int(NOW.timestamp()) + 90) * 1000)}, b"", 90),
        ({}, b'{"retry_after": 0.5}', 0.5),
        ({}, b'{"status":601,"body":{"wait_seconds":7}}', 7),
        ({}, b'{"error":{"reason":{".tag":"too_many_requests"},"retry_after":300}}', 300),
        ({}, b'{"message":"Rate limit is exceeded. Try again in 60 seconds."}', 60),
        ({"retry-after": "30", "x-rate-limit-reset": "5"}, b'{"retry_after": 9}', 30),
    ],
)
def test_a_wait_is_found_in_headers_and_bodies(headers: dict[str, str], body: bytes, seconds: float) -> None:
    assert wait(headers, body) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["soon", "", "nan", "Wed, 99 Xyz", "1e400"])
def test_a_wait_that_does_not_parse_is_none(value: str) -> None:
    assert wait({"retry-after": value}) is None


@pytest.mark.parametrize("value", ["31536000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_wait_is_longer_than_an_hour(value: str) -> None:
    assert wait({"retry-after": value}) == LONGEST_WAIT


def test_an_outage_can_ask_for_a_wait_too_but_its_rate_window_says_nothing() -> None:
    assert wait({"retry-after": "5"}, status=503) == timedelta(seconds=5)
    assert wait({"x-rate-limit-reset": "5"}, status=503) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "7200"}, 7200),
        ({"retry-after": "Wed, 21 Oct 2026 09:27:00 GMT"}, 7200),
        ({"retry-after": "31536000"}, 86_400),
        ({"retry-after": "-1"}, 0),
    ],
)
def test_what_the_header_alone_asks_for_is_bounded_by_whoever_reads_it(
    headers: dict[str, str], seconds: float | None
) -> None:
    asked = header_wait(headers, now=NOW, longest=timedelta(days=1))
    assert asked == (None if seconds is None else timedelta(seconds=seconds))
