"""Metrics that have a sample of each, and what they are."""

from collections.abc import Iterator
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.fleet import (
    AccountGroup,
    FleetFigures,
    RunningSource,
    StreamFigures,
    Waiting,
    WebhookCondition,
)
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.ids import IdKind, SourceId, WebhookId, format_id, new_id

SOURCE = SourceId(new_id())
SOURCE_TEXT = format_id(IdKind.SOURCE, SOURCE)
WEBHOOK = WebhookId(new_id())


class AKeyring:
    """Two keys, of which the first is the newer one."""

    key_ids = ("k2", "k1")
    changed_at: float | None = 1_700_000_000.0


def figures(**changes: object) -> FleetFigures:
    facts: dict[str, object] = {
        "accounts": {
            AccountGroup(SOURCE, AccountState.ACTIVE, Health.HEALTHY): 41,
            AccountGroup(SOURCE, AccountState.DISABLED, Health.HEALTHY, DisabledReason.REVOKED): 1,
        },
        "expired": {"quickbooks": 5},
        "neglected": {RunningSource(SOURCE, "quickbooks"): 3},
        "due": 7,
        "overdue": {"quickbooks": Waiting(2, timedelta(seconds=90))},
        "in_doubt": {"quickbooks": Waiting(1, timedelta(minutes=5))},
        "sealed": {"k1": 40, "k2": 2},
        "paused": {SOURCE: "invalid_client"},
        "outbox": Waiting(3, timedelta(milliseconds=1500)),
        "inbox": Waiting(4, timedelta(seconds=2)),
        "revocations": Waiting(5, timedelta(seconds=30)),
        "webhooks": dict.fromkeys(WebhookCondition, 1),
        "failing": {WEBHOOK: timedelta(hours=1)},
        "deliveries": 12,
        "feed_lag": timedelta(seconds=3),
    }
    return FleetFigures(**(facts | changes))  # type: ignore[arg-type]  # the facts above are its fields


def busy(process: str = "worker") -> Metrics:
    """Metrics with at least one sample of each."""
    metrics = Metrics(process)
    metrics.refresh_attempted("quickbooks", outcome=Outcome.OK, reason=None, trigger=Trigger.SCHEDULE)
    metrics.refresh_took("quickbooks", 0.2)
    metrics.refresh_settled("quickbooks", timedelta(seconds=3))
    metrics.refreshes_put_off("google", "rate", 3)
    metrics.source_throttled("google")
    metrics.refreshes_under_way(7)
    metrics.watch_settling_window(lambda: 128)
    metrics.token_vended("quickbooks", "stored", 0.002)
    metrics.request_served("POST", "/v1/accounts/{account_id}/token", 200)
    metrics.inbox_event_taken("tokenkeep.account.unauthorized", "accepted")
    metrics.revocation_ended("quickbooks", RevocationEnd.REVOKED)
    metrics.provider_hook_taken("shopify", "disabled")
    metrics.observe_fleet(figures())
    metrics.observe_streams(StreamFigures(1, 0, {"billing": timedelta(seconds=1)}))
    metrics.rests.began(SOURCE, "quickbooks")
    metrics.jobs.ended("tick", "done")
    metrics.buffers.watch_reads(lambda: 3)
    metrics.keyring.watch(AKeyring())
    return metrics


def described(metrics: Metrics) -> dict[str, tuple[str, set[str]]]:
    """Name, type and labels of each of our metrics."""
    body, _ = metrics.render("")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if name.startswith("tokenkeep_"):
            found[name] = (family.type, labels)
    return found


def samples(metrics: Metrics) -> Iterator[tuple[str, dict[str, str], float]]:
    """Every sample's name, labels and value."""
    body, _ = metrics.render("")
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample's value; None if there is no such one."""
    return next((found for one, having, found in samples(metrics) if one == name and having == labels), None)
