"""Runs of answers that blame the client."""

from functools import reduce
from uuid import UUID

import pytest

from domain_examples import granted
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.client_faults import ClientFaults, after
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.verdict import Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

LOGIN = Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401)
REQUEST = Misconfigured(FailureReason.PROVIDER_4XX, "invalid_request", 400)
UNCLEAR = Unavailable(FailureReason.PROVIDER_4XX, maybe_spent=False, http_status=400)


def run_of(*verdicts: tuple[int, Verdict]) -> ClientFaults:
    return reduce(lambda run, one: after(run, AccountId(UUID(int=one[0])), one[1]), verdicts, ClientFaults())


@pytest.mark.parametrize("verdict", [LOGIN, REQUEST])
def test_three_accounts_in_a_row_blame_the_source(verdict: Verdict) -> None:
    assert not run_of((1, verdict), (2, verdict)).blame_the_source
    assert run_of((1, verdict), (2, verdict), (3, verdict)).blame_the_source


def test_one_account_with_a_wrong_request_of_its_own_blames_nobody() -> None:
    assert not run_of(*((1, REQUEST) for _ in range(100))).blame_the_source


def test_the_only_account_of_a_source_whose_login_fails_again_and_again_blames_it() -> None:
    assert not run_of(*((1, LOGIN) for _ in range(5))).blame_the_source
    assert run_of(*((1, LOGIN) for _ in range(6))).blame_the_source


@pytest.mark.parametrize("good", [granted(), Revoked("invalid_grant", None, 400)])
def test_an_account_that_the_provider_knows_ends_the_run(good: Verdict) -> None:
    assert run_of((1, LOGIN), (2, LOGIN), (4, good), (3, LOGIN)).refused == {AccountId(UUID(int=3))}


@pytest.mark.parametrize(
    "neither",
    [
        RateLimited(None, 429),
        NotSent(FailureReason.NETWORK_ERROR),
        Unavailable(FailureReason.TIMEOUT, maybe_spent=True),
        Unavailable(FailureReason.PROVIDER_5XX, maybe_spent=False),
    ],
)
def test_an_outage_says_nothing_of_the_client(neither: Verdict) -> None:
    run = run_of((1, LOGIN), (2, LOGIN))
    assert after(run, AccountId(UUID(int=9)), neither) == run


def test_it_takes_more_accounts_where_nothing_can_be_read() -> None:
    assert not run_of(*((n, UNCLEAR) for n in range(4))).blame_the_source
    run = run_of(*((n, UNCLEAR) for n in range(5)))
    assert run.blame_the_source
    assert run.reason is FailureReason.PROVIDER_4XX


def test_the_gravest_word_names_the_run() -> None:
    assert run_of((1, UNCLEAR), (2, LOGIN), (3, REQUEST)).reason is FailureReason.INVALID_CLIENT
