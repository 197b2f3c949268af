import re
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

import tokenkeep
from busy_metrics import SOURCE, SOURCE_TEXT, WEBHOOK, busy, described, figures, value
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.adapters.telemetry.observed import KEPT_S, Observed
from tokenkeep.application.fleet import StreamFigures
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.ids import IdKind, format_id

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

# Name, type and labels as the contract has them.
CONTRACT = {
    "tokenkeep_refresh_attempts_total": ("counter", {"provider", "outcome", "reason", "trigger"}),
    "tokenkeep_refresh_duration_seconds": ("histogram", {"provider"}),
    "tokenkeep_refresh_lateness_seconds": ("histogram", {"provider"}),
    "tokenkeep_refreshes_put_off_total": ("counter", {"provider", "reason"}),
    "tokenkeep_source_throttled_total": ("counter", {"provider"}),
    "tokenkeep_refreshes_under_way": ("gauge", set()),
    "tokenkeep_settling_window": ("gauge", set()),
    "tokenkeep_accounts": ("gauge", {"source", "state", "health", "reason"}),
    "tokenkeep_accounts_expired": ("gauge", {"provider"}),
    "tokenkeep_accounts_due": ("gauge", set()),
    "tokenkeep_custody_contended_total": ("counter", set()),
    "tokenkeep_custody_in_doubt_total": ("counter", {"resolution"}),
    "tokenkeep_stale_writes_refused_total": ("counter", set()),
    "tokenkeep_revocations_total": ("counter", {"provider", "result"}),
    "tokenkeep_token_vends_total": ("counter", {"provider", "result"}),
    "tokenkeep_token_vend_duration_seconds": ("histogram", set()),
    "tokenkeep_source_paused": ("gauge", {"source", "reason"}),
    "tokenkeep_outbox_pending": ("gauge", set()),
    "tokenkeep_outbox_lag_seconds": ("gauge", set()),
    "tokenkeep_inbox_events_total": ("counter", {"type", "result"}),
    "tokenkeep_webhook_deliveries_total": ("counter", {"outcome"}),
    # Beyond the contract.
    "tokenkeep_webhooks_disabled_total": ("counter", {"reason"}),
    "tokenkeep_provider_hooks_total": ("counter", {"provider", "result"}),
    "tokenkeep_http_requests_total": ("counter", {"method", "route", "code"}),
    "tokenkeep_requests_refused_total": ("counter", {"reason"}),
    "tokenkeep_source_accounts_expired": ("gauge", {"provider", "source"}),
    "tokenkeep_accounts_overdue": ("gauge", {"provider"}),
    "tokenkeep_accounts_overdue_seconds": ("gauge", {"provider"}),
    "tokenkeep_accounts_in_doubt": ("gauge", {"provider"}),
    "tokenkeep_accounts_in_doubt_seconds": ("gauge", {"provider"}),
    "tokenkeep_accounts_sealed": ("gauge", {"key"}),
    "tokenkeep_inbox_pending": ("gauge", set()),
    "tokenkeep_inbox_lag_seconds": ("gauge", set()),
    "tokenkeep_inbox_stream_entries": ("gauge", set()),
    "tokenkeep_inbox_dead_entries": ("gauge", set()),
    "tokenkeep_event_stream_unread_seconds": ("gauge", {"group"}),
    "tokenkeep_event_stream_losses_total": ("counter", set()),
    "tokenkeep_revocations_pending": ("gauge", set()),
    "tokenkeep_revocations_pending_seconds": ("gauge", set()),
    "tokenkeep_webhooks": ("gauge", {"state"}),
    "tokenkeep_webhook_failing_seconds": ("gauge", {"webhook"}),
    "tokenkeep_webhook_deliveries_pending": ("gauge", set()),
    "tokenkeep_webhook_feed_lag_seconds": ("gauge", set()),
    "tokenkeep_fleet_counted_timestamp_seconds": ("gauge", set()),
    "tokenkeep_source_resting": ("gauge", {"provider", "source"}),
    "tokenkeep_source_rests_total": ("counter", {"provider"}),
    "tokenkeep_refresh_faults_total": ("counter", {"fault"}),
    "tokenkeep_spool_answers_total": ("counter", {"result"}),
    "tokenkeep_custody_refused_total": ("counter", set()),
    "tokenkeep_job_runs_total": ("counter", {"task", "result"}),
    "tokenkeep_job_done_timestamp_seconds": ("gauge", {"task"}),
    "tokenkeep_buffer_flush_failures_total": ("counter", set()),
    "tokenkeep_credential_reads_unwritten": ("gauge", set()),
    "tokenkeep_keyring_key": ("gauge", {"key"}),
    "tokenkeep_keyring_changed_timestamp_seconds": ("gauge", set()),
    "tokenkeep_build_info": ("gauge", {"version", "python", "process"}),
}


def test_names_types_and_labels_are_those_of_the_contract() -> None:
    assert described(busy()) == CONTRACT


def test_no_label_is_one_that_prometheus_gives_to_targets() -> None:
    """It would be renamed to `exported_…` at the scrape, and no rule would find it."""
    taken = {"job", "instance", "cell"}
    assert {name for name, (_, labels) in described(busy()).items() if taken & labels} == set()


def test_every_metric_follows_the_naming_rules_and_is_explained() -> None:
    body, _ = busy().render(OPENMETRICS)
    everything = list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]  # not annotated there
    families = [family for family in everything if not family.name.startswith("process_")]
    assert {family.name.removeprefix("tokenkeep_") for family in families} >= {"refresh_duration_seconds", "build"}
    for family in families:
        assert re.fullmatch(r"tokenkeep_[a-z]+(_[a-z]+)*", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert re.fullmatch(r"[A-Z1].{20,}\.", family.documentation), family.name
        assert family.unit == ("seconds" if family.name.endswith("_seconds") else ""), family.name
        assert (family.type == "info") == (family.name == "tokenkeep_build")


def test_no_series_holds_an_id_of_an_account() -> None:
    body, _ = busy().render("")
    assert b"acc_" not in body
    assert SOURCE_TEXT.encode() in body


def test_an_attempt_is_counted_by_how_it_ended() -> None:
    metrics = busy()
    for _ in range(2):
        metrics.refresh_attempted(
            "google", outcome=Outcome.REFUSED, reason=FailureReason.INVALID_GRANT, trigger=Trigger.DEMAND
        )
    name = "tokenkeep_refresh_attempts_total"
    assert value(metrics, name, provider="quickbooks", outcome="ok", reason="", trigger="schedule") == 1
    assert value(metrics, name, provider="google", outcome="refused", reason="invalid_grant", trigger="demand") == 2


def test_a_revocation_is_counted_by_how_it_ended() -> None:
    metrics = busy()
    metrics.revocation_ended("google", RevocationEnd.GIVEN_UP)
    metrics.revocation_ended(None, RevocationEnd.REFUSED)
    name = "tokenkeep_revocations_total"
    assert value(metrics, name, provider="quickbooks", result="revoked") == 1
    assert value(metrics, name, provider="google", result="given_up") == 1
    assert value(metrics, name, provider="other", result="refused") == 1


def test_a_refresh_that_comes_early_is_not_late() -> None:
    metrics = Metrics()
    metrics.refresh_settled("google", timedelta(seconds=-30))
    assert value(metrics, "tokenkeep_refresh_lateness_seconds_sum", provider="google") == 0
    assert value(metrics, "tokenkeep_refresh_lateness_seconds_count", provider="google") == 1


def test_counters_of_rare_things_start_at_zero() -> None:
    metrics = Metrics()
    assert value(metrics, "tokenkeep_custody_contended_total") == 0
    assert value(metrics, "tokenkeep_stale_writes_refused_total") == 0
    assert value(metrics, "tokenkeep_custody_in_doubt_total", resolution="lost") == 0
    metrics.custody_contended()
    metrics.stale_write_refused()
    metrics.doubt_resolved("lost")
    assert value(metrics, "tokenkeep_custody_contended_total") == 1
    assert value(metrics, "tokenkeep_stale_writes_refused_total") == 1
    assert value(metrics, "tokenkeep_custody_in_doubt_total", resolution="lost") == 1


def test_labels_that_come_from_outside_are_bounded() -> None:
    metrics = Metrics()
    for number in range(1_000):
        metrics.inbox_event_taken(f"evil.type.{number}", f"result-{number}")
        metrics.token_vended("google", f"result-{number}", 0.1)
        metrics.doubt_resolved(f"resolution-{number}")
        metrics.request_served(f"EVIL{number}", None, 405)
    assert value(metrics, "tokenkeep_http_requests_total", method="other", route="other", code="405") == 1_000
    assert value(metrics, "tokenkeep_inbox_events_total", type="other", result="other") == 1_000
    assert value(metrics, "tokenkeep_token_vends_total", provider="google", result="other") == 1_000
    assert value(metrics, "tokenkeep_custody_in_doubt_total", resolution="other") == 1_000
    metrics.observe_fleet(figures(paused={SOURCE: "Jo says: see ticket 17"}))
    assert value(metrics, "tokenkeep_source_paused", source=SOURCE_TEXT, reason="other") == 1


def test_the_fleet_is_shown_as_it_was_observed_last() -> None:
    metrics = busy()
    active = {"source": SOURCE_TEXT, "state": "active", "health": "healthy", "reason": ""}
    disabled = {"source": SOURCE_TEXT, "state": "disabled", "health": "healthy", "reason": "revoked"}
    assert value(metrics, "tokenkeep_accounts", **active) == 41
    assert value(metrics, "tokenkeep_accounts", **disabled) == 1
    assert value(metrics, "tokenkeep_accounts_expired", provider="quickbooks") == 5
    assert value(metrics, "tokenkeep_source_accounts_expired", provider="quickbooks", source=SOURCE_TEXT) == 3
    assert value(metrics, "tokenkeep_accounts_due") == 7
    assert value(metrics, "tokenkeep_source_paused", source=SOURCE_TEXT, reason="invalid_client") == 1
    assert value(metrics, "tokenkeep_outbox_pending") == 3
    assert value(metrics, "tokenkeep_outbox_lag_seconds") == 1.5


def test_a_group_that_is_gone_is_shown_no_more() -> None:
    metrics = busy()
    metrics.observe_fleet(figures(accounts={}, neglected={}, paused={}))
    metrics.rests.ended(SOURCE)
    body, _ = metrics.render("")
    assert SOURCE_TEXT.encode() not in body
    assert value(metrics, "tokenkeep_accounts_due") == 7


def test_a_process_that_observes_no_fleet_shows_no_false_zeros() -> None:
    body, _ = Metrics().render("")
    assert b"tokenkeep_accounts" not in body
    assert b"tokenkeep_outbox" not in body


def test_figures_that_are_too_old_are_shown_no_more() -> None:
    now = 0.0
    observed: Observed[str] = Observed(clock=lambda: now)
    assert observed.latest() is None
    observed.observe("figures")
    now = KEPT_S
    latest = observed.latest()
    assert latest is not None
    assert latest[0] == "figures"
    now += 1
    assert observed.latest() is None
    observed.observe("newer")
    assert observed.latest() is not None


def test_what_waits_is_shown_with_how_long_it_has() -> None:
    metrics = busy()
    assert value(metrics, "tokenkeep_accounts_overdue", provider="quickbooks") == 2
    assert value(metrics, "tokenkeep_accounts_overdue_seconds", provider="quickbooks") == 90
    assert value(metrics, "tokenkeep_accounts_in_doubt_seconds", provider="quickbooks") == 300
    assert value(metrics, "tokenkeep_inbox_lag_seconds") == 2
    webhook = format_id(IdKind.WEBHOOK, WEBHOOK)
    assert value(metrics, "tokenkeep_webhook_failing_seconds", webhook=webhook) == 3600
    metrics.observe_fleet(figures(failing={}, feed_lag=timedelta(seconds=-0.1)))
    assert value(metrics, "tokenkeep_webhook_failing_seconds", webhook=webhook) is None
    assert value(metrics, "tokenkeep_webhook_feed_lag_seconds") == 0


def test_names_of_consumer_groups_are_bounded() -> None:
    metrics = Metrics()
    groups = {f"group-{number:03}": timedelta(seconds=1) for number in range(200)}
    metrics.observe_streams(StreamFigures(0, 0, {"no\nplain word": timedelta(0), "x" * 65: timedelta(0), **groups}))
    body, _ = metrics.render("")
    assert body.count(b"tokenkeep_event_stream_unread_seconds{") == 50


def test_a_source_is_shown_as_resting_until_it_is_back() -> None:
    metrics = Metrics()
    metrics.rests.ended(SOURCE)
    assert value(metrics, "tokenkeep_source_resting", provider="google", source=SOURCE_TEXT) is None
    metrics.rests.began(SOURCE, "google")
    assert value(metrics, "tokenkeep_source_resting", provider="google", source=SOURCE_TEXT) == 1
    metrics.rests.ended(SOURCE)
    assert value(metrics, "tokenkeep_source_resting", provider="google", source=SOURCE_TEXT) is None
    assert value(metrics, "tokenkeep_source_rests_total", provider="google") == 1


def test_the_keys_of_the_keyring_are_shown_by_id_and_which_is_current() -> None:
    metrics = busy()
    assert value(metrics, "tokenkeep_keyring_key", key="k2") == 1
    assert value(metrics, "tokenkeep_keyring_key", key="k1") == 0
    assert value(metrics, "tokenkeep_accounts_sealed", key="k1") == 40
    assert b"tokenkeep_keyring" not in Metrics().render("")[0]


def test_a_job_is_shown_when_it_has_run_and_only_what_ended_well_moves_its_time() -> None:
    metrics = Metrics()
    metrics.jobs.ended("tick", "postponed")
    assert value(metrics, "tokenkeep_job_runs_total", task="tick", result="postponed") == 1
    assert value(metrics, "tokenkeep_job_done_timestamp_seconds", task="tick") is None
    metrics.jobs.ended("tick", "done")
    assert value(metrics, "tokenkeep_job_done_timestamp_seconds", task="tick") is not None


def test_two_instances_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.custody_contended()
    assert value(second, "tokenkeep_custody_contended_total") == 0


def test_the_build_names_its_version() -> None:
    body, _ = Metrics().render("")
    assert f'version="{tokenkeep.__version__}"'.encode() in body


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(accept: str, content_type: str) -> None:
    body, found = Metrics().render(accept)
    assert found.startswith(content_type)
    assert body.endswith(b"# EOF\n") == found.startswith("application/openmetrics")
