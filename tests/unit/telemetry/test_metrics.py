import re
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import tokenkeep
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.fleet import AccountGroup, FleetFigures
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.ids import IdKind, SourceId, format_id, new_id

SOURCE = SourceId(new_id())
SOURCE_TEXT = format_id(IdKind.SOURCE, SOURCE)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

# Name, type and labels as the contract has them.
CONTRACT = {
    "tokenkeep_refresh_attempts_total": ("counter", {"provider", "outcome", "reason", "trigger"}),
    "tokenkeep_refresh_duration_seconds": ("histogram", {"provider"}),
    "tokenkeep_refresh_lateness_seconds": ("histogram", {"provider"}),
    "tokenkeep_refreshes_put_off_total": ("counter", {"provider", "reason"}),
    "tokenkeep_source_throttled_total": ("counter", {"provider"}),
    "tokenkeep_refreshes_under_way": ("gauge", set()),
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
    "tokenkeep_requests_refused_total": ("counter", {"reason"}),
    "tokenkeep_build_info": ("gauge", {"version", "python"}),
}


def figures(**changes: object) -> FleetFigures:
    facts: dict[str, object] = {
        "accounts": {
            AccountGroup(SOURCE, AccountState.ACTIVE, Health.HEALTHY): 41,
            AccountGroup(SOURCE, AccountState.DISABLED, Health.HEALTHY, DisabledReason.REVOKED): 1,
        },
        "expired": {"quickbooks": 0},
        "due": 7,
        "paused": {SOURCE: "invalid_client"},
        "outbox_pending": 3,
        "outbox_lag": timedelta(milliseconds=1500),
    }
    return FleetFigures(**(facts | changes))  # type: ignore[arg-type]  # the facts above are its fields


def busy() -> Metrics:
    """Metrics with at least one sample of each."""
    metrics = Metrics()
    metrics.refresh_attempted("quickbooks", outcome=Outcome.OK, reason=None, trigger=Trigger.SCHEDULE)
    metrics.refresh_took("quickbooks", 0.2)
    metrics.refresh_settled("quickbooks", timedelta(seconds=3))
    metrics.refreshes_put_off("google", "rate", 3)
    metrics.source_throttled("google")
    metrics.refreshes_under_way(7)
    metrics.token_vended("quickbooks", "stored", 0.002)
    metrics.inbox_event_taken("tokenkeep.account.unauthorized", "accepted")
    metrics.revocation_ended("quickbooks", RevocationEnd.REVOKED)
    metrics.provider_hook_taken("shopify", "disabled")
    metrics.observe_fleet(figures())
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    body, _ = metrics.render("")
    for family in parse_text(body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_names_types_and_labels_are_those_of_the_contract() -> None:
    body, _ = busy().render("")
    found = {}
    for family in parse_text(body.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    assert found == CONTRACT


def test_every_metric_follows_the_naming_rules_and_is_explained() -> None:
    body, _ = busy().render(OPENMETRICS)
    families = list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]  # not annotated there
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
    assert value(metrics, "tokenkeep_accounts_expired", provider="quickbooks") == 0
    assert value(metrics, "tokenkeep_accounts_due") == 7
    assert value(metrics, "tokenkeep_source_paused", source=SOURCE_TEXT, reason="invalid_client") == 1
    assert value(metrics, "tokenkeep_outbox_pending") == 3
    assert value(metrics, "tokenkeep_outbox_lag_seconds") == 1.5


def test_a_group_that_is_gone_is_shown_no_more() -> None:
    metrics = busy()
    metrics.observe_fleet(figures(accounts={}, paused={}))
    body, _ = metrics.render("")
    assert SOURCE_TEXT.encode() not in body
    assert value(metrics, "tokenkeep_accounts_due") == 7


def test_a_process_that_observes_no_fleet_shows_no_false_zeros() -> None:
    body, _ = Metrics().render("")
    assert b"tokenkeep_accounts" not in body
    assert b"tokenkeep_outbox" not in body


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
