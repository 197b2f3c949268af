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


def an_id(number: int) -> AccountId:
    return AccountId(UUID(int=number))


def told(run: ClientFaults, *verdicts: tuple[int, Verdict], generation: int = 1) -> ClientFaults:
    return reduce(lambda so_far, one: after(so_far, an_id(one[0]), one[1], generation=generation), verdicts, run)


def run_of(*verdicts: tuple[int, Verdict]) -> ClientFaults:
    return told(ClientFaults(), *verdicts)


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
    assert run_of((1, LOGIN), (2, LOGIN), (4, good), (3, LOGIN)).refused == {an_id(3): 1}


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
    assert told(run, (9, neither)) == run


def test_it_takes_more_accounts_where_nothing_can_be_read() -> None:
    assert not run_of(*((n, UNCLEAR) for n in range(4))).blame_the_source
    run = run_of(*((n, UNCLEAR) for n in range(5)))
    assert run.blame_the_source
    assert run.reason is FailureReason.PROVIDER_4XX


def test_the_gravest_word_names_the_run() -> None:
    assert run_of((1, UNCLEAR), (2, LOGIN), (3, REQUEST)).reason is FailureReason.INVALID_CLIENT


GRANTED = granted()


@pytest.mark.parametrize("verdict", [LOGIN, REQUEST, UNCLEAR])
def test_who_was_refused_while_another_was_granted_says_nothing_of_the_client(verdict: Verdict) -> None:
    run = run_of(*[(1, verdict)] * 3, (2, GRANTED), *[(1, verdict)] * 60)
    assert not run.blame_the_source
    assert run.voices == {}
    assert run.is_odd(an_id(1), 1)


def test_one_tenants_accounts_blame_nobody_once_others_were_granted_after_each_of_them() -> None:
    run = run_of((1, LOGIN), (2, LOGIN), (9, GRANTED), (3, LOGIN), (4, LOGIN), (9, GRANTED))
    assert not told(run, *((number, LOGIN) for number in (1, 2, 3, 4, 1, 2, 3, 4))).blame_the_source


def test_the_grant_that_ends_a_pause_shows_that_its_accusers_are_odd() -> None:
    accusing = run_of(*[(1, LOGIN)] * 6)
    assert accusing.blame_the_source
    resumed = told(accusing.ended.with_accused(accusing), (2, GRANTED))
    assert not told(resumed, *[(1, LOGIN)] * 60).blame_the_source


def test_a_client_that_breaks_is_noticed_by_those_who_are_not_odd() -> None:
    run = run_of((1, LOGIN), (2, GRANTED))
    assert not told(run, *[(1, LOGIN), (2, LOGIN)] * 5).blame_the_source
    assert told(run, *[(1, LOGIN), (2, LOGIN)] * 6).blame_the_source
    assert told(run, (1, LOGIN), (2, LOGIN), (3, LOGIN), (4, LOGIN)).blame_the_source


def test_not_all_accounts_of_a_source_are_odd_whoever_was_granted_last_is_a_witness() -> None:
    several = run_of(
        *[(n, verdict) for n in range(3) for verdict in (LOGIN, GRANTED)], (0, LOGIN), (1, LOGIN), (2, GRANTED)
    )
    assert set(several.odd) == {an_id(0), an_id(1)}
    assert told(several, *[(n, LOGIN) for _ in range(6) for n in range(3)]).blame_the_source


def test_an_odd_account_is_a_witness_again_once_it_was_granted_here_or_elsewhere() -> None:
    odd = run_of((1, LOGIN), (2, GRANTED))
    here = told(odd, (1, GRANTED))
    assert told(here, *[(1, LOGIN)] * 6).blame_the_source
    assert told(odd, *[(1, LOGIN)] * 6, generation=2).blame_the_source


def test_the_only_account_of_a_source_is_never_odd() -> None:
    accusing = run_of(*[(1, LOGIN)] * 6)
    resumed = told(accusing.ended.with_accused(accusing), (1, GRANTED))
    assert resumed == ClientFaults()
    assert told(resumed, *[(1, LOGIN)] * 6, generation=2).blame_the_source


def test_a_revocation_ends_a_run_and_makes_nobody_odd() -> None:
    run = run_of((1, LOGIN), (2, Revoked("invalid_grant", None, 400)))
    assert run == ClientFaults()


def test_where_many_are_odd_more_must_agree_and_only_so_many_are_remembered() -> None:
    few = run_of(*((n, LOGIN) for n in range(2)), (9_999, GRANTED))
    assert told(few, *((n, LOGIN) for n in range(100, 103))).blame_the_source
    many = run_of(*(one for n in range(1_000) for one in ((n, LOGIN), (9_999, GRANTED))))
    assert len(many.odd) == 400
    assert an_id(999) in many.odd
    assert not told(many, *((n, REQUEST) for n in range(2_000, 2_100))).blame_the_source
    assert told(many, *((n, REQUEST) for n in range(2_000, 2_103))).blame_the_source


def test_a_run_repeats_itself_where_one_accuses_a_second_time_with_the_same_credentials() -> None:
    accusing = run_of((1, LOGIN), (2, LOGIN), (3, LOGIN))
    left = accusing.ended.with_accused(accusing)
    assert told(left, (3, LOGIN), (4, LOGIN), (5, LOGIN)).repeats_itself
    assert not told(left, (4, LOGIN), (5, LOGIN), (6, LOGIN)).repeats_itself
    assert not told(left, (3, LOGIN), generation=2).repeats_itself
    assert set(left.acquitted.odd) == {an_id(1), an_id(2), an_id(3)}
