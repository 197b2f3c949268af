import pytest

from tokenkeep.adapters.embedded.restarts import GiveUp, RestartPolicy, StartAgain, decide

POLICY = RestartPolicy()


@pytest.mark.parametrize(("deaths", "delay_s"), [([0], 0.5), ([0, 1], 1), ([0, 1, 2], 2), ([0, 1, 2, 3], 4)])
def test_the_delay_doubles_with_each_death(deaths: list[float], delay_s: float) -> None:
    assert decide(deaths, now=deaths[-1], policy=POLICY) == StartAgain(delay_s)


def test_five_deaths_within_a_minute_are_too_many() -> None:
    assert decide([0, 10, 20, 30, 59], now=59, policy=POLICY) == GiveUp(5, 60)


def test_a_death_of_long_ago_no_longer_counts() -> None:
    assert decide([0, 10, 20, 30, 61], now=61, policy=POLICY) == StartAgain(4)
    assert decide([0, 1_000], now=1_000, policy=POLICY) == StartAgain(0.5)


def test_a_patient_policy_does_not_wait_longer_than_its_longest_delay() -> None:
    patient = RestartPolicy(too_many=100, longest_delay_s=30)

    assert decide(list(range(50)), now=50, policy=patient) == StartAgain(30)
