"""What OAuth 1.0a servers answer, read."""

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.oauth1_answers import NotHad, Refused, TokenPair, read_token_pair

CALLBACK = Secret("https://tokens.example/connect/callback?state=canary")


def says(status: int, body: bytes, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("body", "confirmed", "life"),
    [
        (b"oauth_token=t%2F1&oauth_token_secret=s%26&oauth_callback_confirmed=true", True, None),
        (b"oauth_token=t%2F1&oauth_token_secret=s%26&oauth_callback_confirmed=True\n", True, None),
        (b"oauth_token_secret=s%26&user_id=7&oauth_token=t%2F1&oauth_expires_in=3600", False, 3600),
        (b'{"oauth_token": "t/1", "oauth_token_secret": "s&"}', False, None),
        (b"oauth_token=t%2F1&oauth_token_secret=s%26&oauth_callback_confirmed=false&oauth_expires_in=0", False, None),
    ],
)
def test_a_pair_is_read_in_whatever_order_it_comes(body: bytes, confirmed: bool, life: int | None) -> None:  # noqa: FBT001
    assert read_token_pair(says(200, body)) == TokenPair(Secret("t/1"), Secret("s&"), confirmed, life)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(401, b"oauth_problem=consumer_key_unknown"), "consumer_key_unknown"),
        (says(401, b"", www_authenticate='OAuth realm="x", oauth_problem="token_expired"'), "token_expired"),
        (says(400, b"error=invalid_request&error_description=x"), "invalid_request"),
        (says(200, b"oauth_problem=parameter_absent&oauth_parameters_absent=x"), "parameter_absent"),
        (says(403, b"<html>no</html>"), "403"),
        (says(401, b"oauth_problem=canary"), "unknown_error"),
    ],
)
def test_a_refusal_is_told_by_its_code_or_its_status(answer: Answer, code: str) -> None:
    assert read_token_pair(answer, CALLBACK) == Refused(code)


@pytest.mark.parametrize(
    ("answer", "reason", "maybe_used"),
    [
        (says(503, b""), FailureReason.PROVIDER_5XX, False),
        (says(500, b""), FailureReason.PROVIDER_5XX, True),
        (says(429, b""), FailureReason.RATE_LIMITED, False),
        (says(408, b""), FailureReason.PROVIDER_4XX, False),
        (says(302, b"oauth_token=t&oauth_token_secret=s"), FailureReason.MALFORMED_RESPONSE, False),
        (says(200, b"oauth_token=t"), FailureReason.MALFORMED_RESPONSE, True),
        (says(200, b"oauth_token=a%20b&oauth_token_secret=s"), FailureReason.MALFORMED_RESPONSE, True),
        (says(200, b"<html>hello</html>"), FailureReason.MALFORMED_RESPONSE, True),
        (NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail=""), FailureReason.TIMEOUT, True),
    ],
)
def test_everything_else_says_nothing(answer: Answer | NoAnswer, reason: FailureReason, maybe_used: bool) -> None:  # noqa: FBT001
    assert read_token_pair(answer) == NotHad(reason, maybe_used)
