"""What is declared of how much a provider takes."""

from dataclasses import replace

from tokenkeep.domain.rate_limit import Rate
from tokenkeep.domain.source_limits import Bound
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.request_limits import is_one_service, provider_bound, source_bound

CATALOGUE = load_catalogue()
GENERIC, XERO = CATALOGUE.get("generic-oauth2"), CATALOGUE.get("xero")


def test_nothing_is_bounded_of_which_nothing_is_said() -> None:
    assert source_bound("s", replace(GENERIC, refresh_burst=5), {}) is None
    assert provider_bound(GENERIC) is None


def test_an_option_outranks_the_providers_entry_each_by_itself() -> None:
    entry = replace(XERO, refresh_rate_per_min=600, refresh_concurrency=5)
    assert source_bound("s", entry, {}) == Bound("s", Rate(10.0, 10), 5)
    assert source_bound("s", entry, {"refresh_rate_per_min": 60}) == Bound("s", Rate(1.0, 1), 5)
    assert source_bound("s", entry, {"refresh_burst": 3}) == Bound("s", Rate(10.0, 3), 5)


def test_a_rate_below_one_a_second_has_a_burst_of_one() -> None:
    assert source_bound("s", GENERIC, {"refresh_rate_per_min": 6}) == Bound("s", Rate(0.1, 1), None)


def test_what_bounds_a_provider_has_the_providers_name() -> None:
    entry = replace(XERO, provider_rate_per_min=6_000, provider_burst=50, provider_concurrency=20)
    assert provider_bound(entry) == Bound("provider:xero", Rate(100.0, 50), 20)


def test_an_open_entry_is_many_services() -> None:
    assert is_one_service(XERO)
    assert not is_one_service(GENERIC)
