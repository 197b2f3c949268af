"""Gauges of what the stores hold, rendered from the figures that were observed last."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tokenkeep.adapters.telemetry.observed import Observed
from tokenkeep.application.fleet import FleetFigures, StreamFigures, Waiting
from tokenkeep.domain.ids import IdKind, SourceId, format_id

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_GROUP = re.compile(r"[ -~]{1,64}")
_MOST_GROUPS = 50

_FLEET: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "tokenkeep_accounts": (
        ("source", "state", "health", "reason"),
        "Accounts by source, state, health and, where disabled, the reason; moves as accounts come, go and change state.",
    ),
    "tokenkeep_accounts_expired": (
        ("provider",),
        "Active accounts whose token has expired, by provider: the service level, which should be 0.",
    ),
    "tokenkeep_source_accounts_expired": (
        ("provider", "source"),
        "Active accounts whose token has expired though their source is not paused, by source; sources without any are absent.",
    ),
    "tokenkeep_accounts_due": (
        (),
        "Accounts that are due for a refresh and not yet handed to a worker; grows when schedulers do not keep up.",
    ),
    "tokenkeep_accounts_overdue": (
        ("provider",),
        "Accounts whose refresh has been due for more than a minute, by provider; those of paused sources are left out.",
    ),
    "tokenkeep_accounts_overdue_seconds": (
        ("provider",),
        "How long the account that is most overdue has been due, in seconds, by provider; 0 when none is overdue.",
    ),
    "tokenkeep_accounts_in_doubt": (
        ("provider",),
        "Accounts whose refresh token was sent and whose answer is not known yet, by provider; falls when a doubt is resolved.",
    ),
    "tokenkeep_accounts_in_doubt_seconds": (
        ("provider",),
        "How long the oldest unresolved doubt has lasted, in seconds, by provider; those of paused sources are left out, 0 when there is none.",
    ),
    "tokenkeep_accounts_sealed": (
        ("key",),
        "Accounts whose credentials are sealed under a key of the keyring, by the key's id; a key with any may not be destroyed.",
    ),
    "tokenkeep_source_paused": (
        ("source", "reason"),
        "1 for each source that is paused, with the reason; other sources are absent.",
    ),
    "tokenkeep_outbox_pending": ((), "Events that are written and not yet published to the Redis stream."),
    "tokenkeep_outbox_lag_seconds": (
        (),
        "How long the oldest unpublished event has waited, in seconds; 0 when there is none.",
    ),
    "tokenkeep_inbox_pending": ((), "Events of services that are accepted and not yet worked off."),
    "tokenkeep_inbox_lag_seconds": ((), "How long the oldest event that is not worked off has waited, in seconds."),
    "tokenkeep_revocations_pending": ((), "Grants that providers are still to be told to revoke."),
    "tokenkeep_revocations_pending_seconds": ((), "How long the oldest revocation has waited to be told, in seconds."),
    "tokenkeep_webhooks": (("state",), "Webhooks by state: delivering, failing, or disabled."),
    "tokenkeep_webhook_failing_seconds": (
        ("webhook",),
        "How long a webhook has been failing, in seconds; the hundred that fail longest, others are absent.",
    ),
    "tokenkeep_webhook_deliveries_pending": (
        (),
        "Deliveries to webhooks that wait for their turn, or for their next try.",
    ),
    "tokenkeep_webhook_feed_lag_seconds": (
        (),
        "How long the oldest event has waited that is not yet given out to webhooks, in seconds; 0 when there is none.",
    ),
    "tokenkeep_fleet_counted_timestamp_seconds": (
        (),
        "When these figures were counted in the database, in seconds of the Unix epoch; stands still when counting fails.",
    ),
}
_STREAMS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "tokenkeep_inbox_stream_entries": (
        (),
        "Entries of the Redis stream tokenkeep:inbox that are not taken into the database yet.",
    ),
    "tokenkeep_inbox_dead_entries": (
        (),
        "Entries of the inbox that could not be understood and wait in tokenkeep:inbox:dead.",
    ),
    "tokenkeep_event_stream_unread_seconds": (
        ("group",),
        "How long the first entry of tokenkeep:events that a consumer group has not acknowledged has waited, in seconds.",
    ),
}


class FleetGauges(Collector):
    """Shows all of one observation or nothing: a scrape never meets half of a new one, nor a group that is gone.

    Before the first observation there are no gauges at all, so a process that observes nothing shows no false zeros.
    Every scheduler shows the same fleet: aggregate over instances by `max`, not by `sum`.
    """

    def __init__(self) -> None:
        self.observed: Observed[FleetFigures] = Observed()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauges' names, by which the registry refuses duplicates before there is anything to show."""
        return _families(_FLEET).values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the last observation."""
        found = self.observed.latest()
        if found is None:
            return
        figures, counted_at = found
        families = _families(_FLEET)
        for name, labels, value in _fleet_samples(figures, counted_at):
            families[name].add_metric(labels, value)
        yield from families.values()


class StreamGauges(Collector):
    """How the Redis streams stand, by the same rules."""

    def __init__(self) -> None:
        self.observed: Observed[StreamFigures] = Observed()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauges' names."""
        return _families(_STREAMS).values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the last observation."""
        found = self.observed.latest()
        if found is None:
            return
        figures, _ = found
        families = _families(_STREAMS)
        families["tokenkeep_inbox_stream_entries"].add_metric([], figures.inbox)
        families["tokenkeep_inbox_dead_entries"].add_metric([], figures.dead)
        # Whoever may read the stream names groups; a name that is no plain word, or one too many, is not shown.
        named = [(name, waited) for name, waited in sorted(figures.unread.items()) if _GROUP.fullmatch(name)]
        for name, waited in named[:_MOST_GROUPS]:
            families["tokenkeep_event_stream_unread_seconds"].add_metric([name], waited.total_seconds())
        yield from families.values()


Sample = tuple[str, list[str], float]


def _fleet_samples(figures: FleetFigures, counted_at: float) -> Iterator[Sample]:
    for group, count in figures.accounts.items():
        reason = "" if group.reason is None else group.reason.value
        yield "tokenkeep_accounts", [_source(group.source_id), group.state.value, group.health.value, reason], count
    for provider, count in figures.expired.items():
        yield "tokenkeep_accounts_expired", [provider], count
    for source, count in figures.neglected.items():
        yield "tokenkeep_source_accounts_expired", [source.provider, _source(source.id)], count
    yield "tokenkeep_accounts_due", [], figures.due
    for provider, waiting in figures.overdue.items():
        yield from _waiting("tokenkeep_accounts_overdue", "tokenkeep_accounts_overdue_seconds", waiting, provider)
    for provider, waiting in figures.in_doubt.items():
        yield from _waiting("tokenkeep_accounts_in_doubt", "tokenkeep_accounts_in_doubt_seconds", waiting, provider)
    for key_id, count in figures.sealed.items():
        yield "tokenkeep_accounts_sealed", [key_id], count
    for source_id, text in figures.paused.items():
        # A constant is a label; an operator's free text is not.
        yield "tokenkeep_source_paused", [_source(source_id), text if _REASON.fullmatch(text) else "other"], 1
    yield from _waiting("tokenkeep_outbox_pending", "tokenkeep_outbox_lag_seconds", figures.outbox)
    yield from _waiting("tokenkeep_inbox_pending", "tokenkeep_inbox_lag_seconds", figures.inbox)
    yield from _waiting("tokenkeep_revocations_pending", "tokenkeep_revocations_pending_seconds", figures.revocations)
    for condition, count in figures.webhooks.items():
        yield "tokenkeep_webhooks", [condition.value], count
    for webhook_id, failing in figures.failing.items():
        yield "tokenkeep_webhook_failing_seconds", [format_id(IdKind.WEBHOOK, webhook_id)], _seconds(failing)
    yield "tokenkeep_webhook_deliveries_pending", [], figures.deliveries
    yield "tokenkeep_webhook_feed_lag_seconds", [], _seconds(figures.feed_lag)
    yield "tokenkeep_fleet_counted_timestamp_seconds", [], counted_at


def _waiting(counted: str, lag: str, waiting: Waiting, *labels: str) -> Iterator[Sample]:
    yield counted, list(labels), waiting.count
    yield lag, list(labels), _seconds(waiting.oldest)


def _seconds(span: timedelta) -> float:
    return max(span.total_seconds(), 0.0)


def _source(source_id: SourceId) -> str:
    return format_id(IdKind.SOURCE, source_id)


def _families(described: Mapping[str, tuple[tuple[str, ...], str]]) -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, text, labels=labels, unit="seconds" if name.endswith("_seconds") else "")
        for name, (labels, text) in described.items()
    }
