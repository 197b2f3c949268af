"""The metrics of the contract. Labels are bounded: no id of an account, no external id, no secret is among them."""

import platform
from datetime import timedelta
from typing import Any, Final, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

import tokenkeep
from tokenkeep.adapters.telemetry.fleet_gauges import FleetGauges
from tokenkeep.application.accept_events import ReceptionStatus
from tokenkeep.application.admission_ports import Delay
from tokenkeep.application.fleet import FleetFigures
from tokenkeep.application.inbox import Outcome as InboxOutcome
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.application.settle_notices import NoticeResult
from tokenkeep.application.take_provider_hook import CallResult
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.incoming_event import IncomingType
from tokenkeep.domain.webhook import WebhookDisabledReason

VEND_RESULTS: Final = frozenset(
    {
        "stored",
        "refreshed",
        "account_disabled",
        "account_pending",
        "reauthorization_required",
        "unavailable",
    }
)
"""How a request for a token may end: from store, by a refresh, or by the code of its refusal."""

DOUBT_RESOLUTIONS: Final = frozenset({"recovered", "lost", "superseded"})
"""How a doubt may end: the grant is alive, it is lost, or a re-authorisation or deletion made it moot."""

INBOX_TYPES: Final = frozenset(kind.value for kind in IncomingType)
"""The types of events that services may send."""

INBOX_RESULTS: Final = frozenset({*(status.value for status in ReceptionStatus), *(end.value for end in InboxOutcome)})
"""How events are received, and what comes of those that were accepted."""

HOOK_RESULTS: Final = frozenset({*(one.value for one in CallResult), *(one.value for one in NoticeResult)})
"""What becomes of providers' calls, and of the notices that they bring."""

REFUSALS: Final = frozenset({"key_rate", "address_rate"})
"""Why a request was turned away: its API key asks too often, or an address without one."""

WEBHOOK_OUTCOMES: Final = frozenset({"delivered", "failed", "given_up"})
"""What comes of a try to deliver an event: it failed and is tried again, or it was the last one."""

WEBHOOK_DISABLED_REASONS: Final = frozenset(reason.value for reason in WebhookDisabledReason)
"""Why webhooks are disabled."""

DELAYS: Final = frozenset(delay.value for delay in Delay)
"""What accounts wait for that can't go when they are due."""

OTHER: Final = "other"
"""The label of a value that is not among those above: what comes from outside can't make series without end."""

# Up to the provider deadline (20 s) and a little beyond.
_CALL_BUCKETS_S: Final = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30)
# Seconds are a busy queue, minutes an outage, hours one that costs tokens.
_LATENESS_BUCKETS_S: Final = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)
# From a read of the store, in milliseconds, to a refresh that was waited for.
_VEND_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


Family = TypeVar("Family", Counter, Histogram)


class Metrics:
    """One process's metrics, in a registry of their own. Make one at start and pass it on."""

    def __init__(self) -> None:
        # The library's own `_created` samples double every series and say what a restart says. It has one switch.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        self._registry = CollectorRegistry()
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._fleet = FleetGauges()
        self._registry.register(self._fleet)
        build = Info("tokenkeep_build", "The version that runs, and of which Python.", registry=self._registry)
        build.info({"version": tokenkeep.__version__, "python": platform.python_version()})
        self._declare_refreshing()
        self._declare_custody()
        self._declare_vending()
        self._declare_webhooks()

    def _child(self, metric: Family, labels: tuple[str, ...]) -> Family:
        """The series of these labels, remembered: the library makes texts of them and takes a lock each time."""
        series: Family | None = self._children.get((metric, labels))
        if series is None:
            series = self._children[metric, labels] = metric.labels(*labels)
        return series

    def refresh_attempted(
        self, provider: str, *, outcome: Outcome, reason: FailureReason | None, trigger: Trigger
    ) -> None:
        """Count one settled attempt. `provider` is a catalogue slug, here and below."""
        self._child(
            self._attempts, (provider, outcome.value, "" if reason is None else reason.value, trigger.value)
        ).inc()

    def refresh_took(self, provider: str, seconds: float) -> None:
        """Record how long a provider's token endpoint took to answer."""
        self._child(self._duration, (provider,)).observe(seconds)

    def refresh_settled(self, provider: str, lateness: timedelta) -> None:
        """Record how long after it was due a refresh was settled. One that came early was not late."""
        self._child(self._lateness, (provider,)).observe(max(0.0, lateness.total_seconds()))

    def refreshes_put_off(self, provider: str, reason: str, count: int) -> None:
        """Count accounts that could not go when they were due, by one of `DELAYS`."""
        self._child(self._put_off, (provider, _known(reason, DELAYS))).inc(count)

    def source_throttled(self, provider: str) -> None:
        """Count a rest that a provider asked a source for."""
        self._child(self._throttled, (provider,)).inc()

    def refreshes_under_way(self, count: int) -> None:
        """Show how many accounts this worker has admitted and not yet settled."""
        self._under_way.set(count)

    def custody_contended(self) -> None:
        """Count a try to take custody of an account that somebody else held."""
        self._contended.inc()

    def doubt_resolved(self, resolution: str) -> None:
        """Count the end of a doubt, by one of `DOUBT_RESOLUTIONS`."""
        self._in_doubt.labels(_known(resolution, DOUBT_RESOLUTIONS)).inc()

    def stale_write_refused(self) -> None:
        """Count a write that came under a fencing number that is no longer current."""
        self._stale_writes.inc()

    def token_vended(self, provider: str, result: str, seconds: float) -> None:
        """Count a request for a token, ended by one of `VEND_RESULTS`, and record how long it took."""
        counter = self._vends_by.get((provider, result))
        if counter is None:
            counter = self._vends_by[provider, result] = self._vends.labels(provider, _known(result, VEND_RESULTS))
        counter.inc()
        self._vend_duration.observe(seconds)

    def request_refused(self, reason: str) -> None:
        """Count a request that was turned away for one of `REFUSALS`."""
        self._refused.labels(_known(reason, REFUSALS)).inc()

    def inbox_event_taken(self, event_type: str, result: str) -> None:
        """Count an event that a service sent, by one of `INBOX_TYPES` and of `INBOX_RESULTS`."""
        self._inbox.labels(_known(event_type, INBOX_TYPES), _known(result, INBOX_RESULTS)).inc()

    def webhook_delivery_tried(self, outcome: str) -> None:
        """Count a try to deliver an event, by one of `WEBHOOK_OUTCOMES`."""
        self._webhook_deliveries.labels(_known(outcome, WEBHOOK_OUTCOMES)).inc()

    def webhook_disabled(self, reason: str) -> None:
        """Count a webhook that was disabled, by one of `WEBHOOK_DISABLED_REASONS`."""
        self._webhooks_disabled.labels(_known(reason, WEBHOOK_DISABLED_REASONS)).inc()

    def provider_hook_taken(self, provider: str | None, result: str) -> None:
        """Count a provider's call, or a notice that it brought, by one of `HOOK_RESULTS`."""
        self._hooks.labels(provider or OTHER, _known(result, HOOK_RESULTS)).inc()

    def revocation_ended(self, provider: str | None, end: RevocationEnd) -> None:
        """Count a grant that was to be revoked, by how that ended; of a source that is gone the provider is not known."""
        self._revocations.labels(provider or OTHER, end.value).inc()

    def observe_fleet(self, figures: FleetFigures) -> None:
        """Show these figures of the database until the next ones come."""
        self._fleet.observe(figures)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics if the Accept header asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _declare_refreshing(self) -> None:
        self._attempts = Counter(
            "tokenkeep_refresh_attempts_total",
            "Settled refresh attempts by provider, outcome, failure reason (empty if none) and what triggered them.",
            ["provider", "outcome", "reason", "trigger"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "tokenkeep_refresh_duration_seconds",
            "How long a provider's token endpoint took to answer, in seconds.",
            ["provider"],
            unit="seconds",
            buckets=_CALL_BUCKETS_S,
            registry=self._registry,
        )
        self._lateness = Histogram(
            "tokenkeep_refresh_lateness_seconds",
            "How long after its due time a refresh was settled, in seconds.",
            ["provider"],
            unit="seconds",
            buckets=_LATENESS_BUCKETS_S,
            registry=self._registry,
        )
        self._put_off = Counter(
            "tokenkeep_refreshes_put_off_total",
            "Accounts that were due and had to wait, by provider and by what they waited for.",
            ["provider", "reason"],
            registry=self._registry,
        )
        self._throttled = Counter(
            "tokenkeep_source_throttled_total",
            "Rests that a provider asked a source for, by provider.",
            ["provider"],
            registry=self._registry,
        )
        self._under_way = Gauge(
            "tokenkeep_refreshes_under_way",
            "Accounts that this worker has admitted and not yet settled.",
            registry=self._registry,
        )

    def _declare_custody(self) -> None:
        self._contended = Counter(
            "tokenkeep_custody_contended_total",
            "Tries to take custody of an account that was held by another worker.",
            registry=self._registry,
        )
        self._in_doubt = Counter(
            "tokenkeep_custody_in_doubt_total",
            "Doubts about whether a refresh token was spent, by how they were resolved.",
            ["resolution"],
            registry=self._registry,
        )
        for resolution in sorted(DOUBT_RESOLUTIONS):
            self._in_doubt.labels(resolution)  # a counter that starts at 0 shows its first increase
        self._revocations = Counter(
            "tokenkeep_revocations_total",
            "Grants that a provider was to revoke, by provider and by how that ended.",
            ["provider", "result"],
            registry=self._registry,
        )
        self._stale_writes = Counter(
            "tokenkeep_stale_writes_refused_total",
            "Writes refused because their fencing number was no longer current.",
            registry=self._registry,
        )

    def _declare_vending(self) -> None:
        self._vends = Counter(
            "tokenkeep_token_vends_total",
            "Requests for a token by provider and result.",
            ["provider", "result"],
            registry=self._registry,
        )
        # As many as there are results of providers: both come from us.
        self._vends_by: dict[tuple[str, str], Counter] = {}
        self._vend_duration = Histogram(
            "tokenkeep_token_vend_duration_seconds",
            "How long a request for a token took, waiting for a refresh included, in seconds.",
            unit="seconds",
            buckets=_VEND_BUCKETS_S,
            registry=self._registry,
        )
        self._refused = Counter(
            "tokenkeep_requests_refused_total",
            "Requests that were turned away because there were too many, of an API key or of an address without one.",
            ["reason"],
            registry=self._registry,
        )
        for reason in sorted(REFUSALS):
            self._refused.labels(reason)
        self._inbox = Counter(
            "tokenkeep_inbox_events_total",
            "Events that services sent, by type, as they were received (accepted, duplicate, rejected) and as they ended.",
            ["type", "result"],
            registry=self._registry,
        )
        self._hooks = Counter(
            "tokenkeep_provider_hooks_total",
            "Calls of providers that were refused, and notices that were taken, by provider and by what became of them.",
            ["provider", "result"],
            registry=self._registry,
        )
        self._hooks.labels(OTHER, CallResult.REFUSED.value)

    def _declare_webhooks(self) -> None:
        self._webhook_deliveries = Counter(
            "tokenkeep_webhook_deliveries_total",
            "Tries to deliver events to webhooks by what came of them: delivered, failed (tried again later), given_up.",
            ["outcome"],
            registry=self._registry,
        )
        self._webhooks_disabled = Counter(
            "tokenkeep_webhooks_disabled_total",
            "Webhooks that were disabled, by reason.",
            ["reason"],
            registry=self._registry,
        )
        for outcome in sorted(WEBHOOK_OUTCOMES):
            self._webhook_deliveries.labels(outcome)
        for reason in sorted(WEBHOOK_DISABLED_REASONS):
            self._webhooks_disabled.labels(reason)


def _known(value: str, known: frozenset[str]) -> str:
    return value if value in known else OTHER
