"""What was sent is never kept as a code."""

import pytest

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Misconfigured, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.discretion import UNKNOWN, without_secrets

SENT = (Secret("TopSecret-9"), None, Secret("grant.one"))


@pytest.mark.parametrize(
    "code", ["topsecret9", "TOPSECRET_9", "invalid_grant_one", "topsecret", "my_topsecret_9_is_bad"]
)
def test_a_code_that_tells_what_was_sent_is_replaced(code: str) -> None:
    assert without_secrets(Revoked(code, code, 400), *SENT) == Revoked(UNKNOWN, UNKNOWN, 400)
    refused = Misconfigured(FailureReason.INVALID_CLIENT, code, 401)
    assert without_secrets(refused, *SENT) == Misconfigured(FailureReason.INVALID_CLIENT, UNKNOWN, 401)
    lost = Unavailable(FailureReason.PROVIDER_5XX, maybe_spent=True, code=code)
    assert without_secrets(lost, *SENT) == Unavailable(FailureReason.PROVIDER_5XX, maybe_spent=True, code=UNKNOWN)


@pytest.mark.parametrize(
    "verdict",
    [
        Revoked("invalid_grant", None, 400),
        Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401),
        RateLimited(None, 429),
        Unavailable(FailureReason.TIMEOUT, maybe_spent=True),
    ],
)
def test_other_codes_stay(verdict: Verdict) -> None:
    assert without_secrets(verdict, *SENT) == verdict
