"""What happens on the road of a refresh, and goes wrong there, shows in the metrics."""

import pytest
from prometheus_client import CollectorRegistry

from busy_metrics import SOURCE, SOURCE_TEXT, value
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.adapters.telemetry.refresh_observer import RefreshTelemetry
from tokenkeep.adapters.telemetry.upkeep_metrics import REST_SHOWN_S, RestMetrics
from tokenkeep.domain.ids import AccountId, new_id

ACCOUNT = AccountId(new_id())


def test_an_answer_that_the_database_does_not_take_is_counted_wherever_it_goes() -> None:
    metrics = Metrics()
    observer = RefreshTelemetry(metrics)
    name = "tokenkeep_spool_answers_total"
    assert value(metrics, name, result="failed") == 0
    observer.spooled(ACCOUNT, "cor_1")
    observer.spool_failed(ACCOUNT, "cor_1", OSError())
    observer.spool_drained(3, 1)
    counted = {result: value(metrics, name, result=result) for result in ("written", "failed", "drained", "unreadable")}
    assert counted == {"written": 1, "failed": 1, "drained": 3, "unreadable": 1}


@pytest.mark.parametrize("fault", ["not_prepared", "abandoned", "settle_delayed"])
def test_a_fault_of_ours_is_counted_by_what_it_is(fault: str) -> None:
    metrics = Metrics()
    observer = RefreshTelemetry(metrics)
    match fault:
        case "not_prepared":
            observer.not_prepared(ACCOUNT, "cor_1", "a property is missing")
        case "abandoned":
            observer.abandoned(ACCOUNT, "cor_1", RuntimeError())
        case _:
            observer.settle_failed(ACCOUNT, "cor_1", "TimeoutError")
    assert value(metrics, "tokenkeep_refresh_faults_total", fault=fault) == 1


def test_accounts_that_a_worker_does_not_take_are_counted() -> None:
    metrics = Metrics()
    RefreshTelemetry(metrics).refused_work(50)
    assert value(metrics, "tokenkeep_custody_refused_total") == 50


def test_a_breaker_shows_while_it_is_open() -> None:
    metrics = Metrics()
    observer = RefreshTelemetry(metrics)
    observer.endpoint_rests(SOURCE, "google", again=False)
    observer.endpoint_rests(SOURCE, "google", again=True)
    assert value(metrics, "tokenkeep_source_resting", provider="google", source=SOURCE_TEXT) == 1
    assert value(metrics, "tokenkeep_source_rests_total", provider="google") == 1
    observer.endpoint_back(SOURCE)
    assert value(metrics, "tokenkeep_source_resting", provider="google", source=SOURCE_TEXT) is None


def test_a_rest_that_nobody_has_confirmed_for_long_is_not_shown() -> None:
    """Others may have found the endpoint well meanwhile: this worker is no witness any more."""
    now = [1_000.0]
    registry = CollectorRegistry()
    rests = RestMetrics(registry, clock=lambda: now[0])
    labels = {"provider": "google", "source": SOURCE_TEXT}
    rests.began(SOURCE, "google")
    now[0] += REST_SHOWN_S
    assert registry.get_sample_value("tokenkeep_source_resting", labels) == 1
    now[0] += 1
    assert registry.get_sample_value("tokenkeep_source_resting", labels) is None
    rests.began(SOURCE, "google", again=True)
    assert registry.get_sample_value("tokenkeep_source_resting", labels) == 1
    assert registry.get_sample_value("tokenkeep_source_rests_total", {"provider": "google"}) == 1


def test_readings_that_are_watched_anew_replace_the_former_ones() -> None:
    metrics = Metrics()
    metrics.buffers.watch_reads(lambda: 1)
    metrics.buffers.watch_reads(lambda: 2)
    metrics.buffers.flush_failed()
    assert value(metrics, "tokenkeep_credential_reads_unwritten") == 2
    assert value(metrics, "tokenkeep_buffer_flush_failures_total") == 1
