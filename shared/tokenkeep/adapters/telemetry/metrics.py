"""The metrics of the contract. Labels are bounded: no id of an account, no external id, no secret is among them."""

import platform
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

import tokenkeep
from tokenkeep.adapters.telemetry.fleet_gauges import FleetGauges, StreamGauges
from tokenkeep.adapters.telemetry.label_values import (
    DELAYS,
    DOUBT_RESOLUTIONS,
    HOOK_RESULTS,
    INBOX_RESULTS,
    INBOX_TYPES,
    METHODS,
    OTHER,
    REFUSALS,
    VEND_RESULTS,
    WEBHOOK_DISABLED_REASONS,
    WEBHOOK_OUTCOMES,
    known,
)
from tokenkeep.adapters.telemetry.upkeep_metrics import (
    BufferMetrics,
    FaultMetrics,
    JobMetrics,
    KeyringGauges,
    RestMetrics,
)
from tokenkeep.application.fleet import FleetFigures, StreamFigures
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.application.take_provider_hook import CallResult
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.attempt import Outcome, Trigger

# Up to the provider deadline (20 s) and a little beyond.
_CALL_BUCKETS_S: Final = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30)
# Seconds are a busy queue, minutes an outage, hours one that costs tokens.
_LATENESS_BUCKETS_S: Final = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)
# From a read of the store, in milliseconds, to a refresh that was waited for.
_VEND_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)


Family = TypeVar("Family", Counter, Histogram)


class Metrics:
    """One process's metrics, in a registry of their own. Make one at start and pass it on."""

    def __init__(self, process: str = "") -> None:
        """Of a process of this kind: `api`, `scheduler`, `worker`."""
        # The library's own `_created` samples double every series and say what a restart says. It has one switch.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        self._registry = CollectorRegistry()
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._fleet, self._streams, self.keyring = FleetGauges(), StreamGauges(), KeyringGauges()
        for collector in (self._fleet, self._streams, self.keyring):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        build = Info(
            "tokenkeep_build",
            "1, with the version that runs, of which Python, and what kind of process this is: api, scheduler or worker.",
            registry=self._registry,
        )
        build.info({"version": tokenkeep.__version__, "python": platform.python_version(), "process": process})
        self.rests = RestMetrics(self._registry)
        self.faults = FaultMetrics(self._registry)
        self.jobs = JobMetrics(self._registry)
        self.buffers = BufferMetrics(self._registry)
        self._settling_window: Gauge | None = None
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
        self._child(self._put_off, (provider, known(reason, DELAYS))).inc(count)

    def source_throttled(self, provider: str) -> None:
        """Count a rest that a provider asked a source for."""
        self._child(self._throttled, (provider,)).inc()

    def refreshes_under_way(self, count: int) -> None:
        """Show how many accounts this worker has admitted and not yet settled."""
        self._under_way.set(count)

    def watch_settling_window(self, read: Callable[[], float]) -> None:
        """Show how many accounts this worker takes in hand at once, as `read` tells it when it is asked. Other processes don't show it at all."""
        if self._settling_window is None:
            self._settling_window = Gauge(
                "tokenkeep_settling_window",
                "Accounts that this worker takes in hand at once, those at their endpoints aside; narrow while answers wait for their commit.",
                registry=self._registry,
            )
        self._settling_window.set_function(read)

    def custody_contended(self) -> None:
        """Count a try to take custody of an account that somebody else held."""
        self._contended.inc()

    def doubt_resolved(self, resolution: str) -> None:
        """Count the end of a doubt, by one of `DOUBT_RESOLUTIONS`."""
        self._in_doubt.labels(known(resolution, DOUBT_RESOLUTIONS)).inc()

    def stale_write_refused(self) -> None:
        """Count a write that came under a fencing number that is no longer current."""
        self._stale_writes.inc()

    def token_vended(self, provider: str, result: str, seconds: float) -> None:
        """Count a request for a token, ended by one of `VEND_RESULTS`, and record how long it took."""
        counter = self._vends_by.get((provider, result))
        if counter is None:
            counter = self._vends_by[provider, result] = self._vends.labels(provider, known(result, VEND_RESULTS))
        counter.inc()
        self._vend_duration.observe(seconds)

    def request_served(self, method: str, route: str | None, status: int | None) -> None:
        """Count a request by its method, by its route as it is declared (None: there is none) and by its answer's status."""
        code = "none" if status is None else str(status)
        self._child(self._requests, (known(method, METHODS), route or OTHER, code)).inc()

    def request_refused(self, reason: str) -> None:
        """Count a request that was turned away for one of `REFUSALS`."""
        self._refused.labels(known(reason, REFUSALS)).inc()

    def inbox_event_taken(self, event_type: str, result: str) -> None:
        """Count an event that a service sent, by one of `INBOX_TYPES` and of `INBOX_RESULTS`."""
        self._inbox.labels(known(event_type, INBOX_TYPES), known(result, INBOX_RESULTS)).inc()

    def webhook_delivery_tried(self, outcome: str) -> None:
        """Count a try to deliver an event, by one of `WEBHOOK_OUTCOMES`."""
        self._webhook_deliveries.labels(known(outcome, WEBHOOK_OUTCOMES)).inc()

    def webhook_disabled(self, reason: str) -> None:
        """Count a webhook that was disabled, by one of `WEBHOOK_DISABLED_REASONS`."""
        self._webhooks_disabled.labels(known(reason, WEBHOOK_DISABLED_REASONS)).inc()

    def provider_hook_taken(self, provider: str | None, result: str) -> None:
        """Count a provider's call, or a notice that it brought, by one of `HOOK_RESULTS`."""
        self._hooks.labels(provider or OTHER, known(result, HOOK_RESULTS)).inc()

    def revocation_ended(self, provider: str | None, end: RevocationEnd) -> None:
        """Count a grant that was to be revoked, by how that ended; of a source that is gone the provider is not known."""
        self._revocations.labels(provider or OTHER, end.value).inc()

    def observe_fleet(self, figures: FleetFigures) -> None:
        """Show these figures of the database until the next ones come, or they are too old."""
        self._fleet.observed.observe(figures)

    def observe_streams(self, figures: StreamFigures) -> None:
        """Show these figures of the Redis streams, likewise."""
        self._streams.observed.observe(figures)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics if the Accept header asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _declare_refreshing(self) -> None:
        self._attempts = Counter(
            "tokenkeep_refresh_attempts_total",
            "Refresh attempts by provider, outcome, failure reason (empty if none) and trigger; counted when an attempt is settled.",
            ["provider", "outcome", "reason", "trigger"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "tokenkeep_refresh_duration_seconds",
            "How long a provider's token endpoint took to answer a refresh, in seconds, by provider; one value for each attempt that was sent.",
            ["provider"],
            unit="seconds",
            buckets=_CALL_BUCKETS_S,
            registry=self._registry,
        )
        self._lateness = Histogram(
            "tokenkeep_refresh_lateness_seconds",
            "How long after its due time a refresh was settled, in seconds, by provider; one value for each refresh that succeeded, 0 if early.",
            ["provider"],
            unit="seconds",
            buckets=_LATENESS_BUCKETS_S,
            registry=self._registry,
        )
        self._put_off = Counter(
            "tokenkeep_refreshes_put_off_total",
            "Accounts that were due and had to wait, by provider and by what they waited for; one account may count each time it is looked at.",
            ["provider", "reason"],
            registry=self._registry,
        )
        self._throttled = Counter(
            "tokenkeep_source_throttled_total",
            "Rests that a provider asked a source for, by a 429 or by Retry-After, by provider.",
            ["provider"],
            registry=self._registry,
        )
        self._under_way = Gauge(
            "tokenkeep_refreshes_under_way",
            "Accounts that this worker has admitted and not yet settled; its bound is TOKENKEEP_WORKER_THREADS times the message batch.",
            registry=self._registry,
        )

    def _declare_custody(self) -> None:
        self._contended = Counter(
            "tokenkeep_custody_contended_total",
            "Tries to take custody of an account that another worker held; moves when a hint is given twice, and costs nothing.",
            registry=self._registry,
        )
        self._in_doubt = Counter(
            "tokenkeep_custody_in_doubt_total",
            "Doubts about whether a refresh token was spent that ended, by how: recovered, lost (the account is disabled), superseded.",
            ["resolution"],
            registry=self._registry,
        )
        for resolution in sorted(DOUBT_RESOLUTIONS):
            self._in_doubt.labels(resolution)  # a counter that starts at 0 shows its first increase
        self._revocations = Counter(
            "tokenkeep_revocations_total",
            "Grants that a provider was to revoke, by provider and by how that ended; counted when it has ended.",
            ["provider", "result"],
            registry=self._registry,
        )
        self._stale_writes = Counter(
            "tokenkeep_stale_writes_refused_total",
            "Writes refused because their fencing number was no longer current: a worker came back late, and nothing was overwritten.",
            registry=self._registry,
        )

    def _declare_vending(self) -> None:
        self._vends = Counter(
            "tokenkeep_token_vends_total",
            "Requests for a token by provider and result: stored, refreshed, or the code of the refusal; counted when answered.",
            ["provider", "result"],
            registry=self._registry,
        )
        # As many as there are results of providers: both come from us.
        self._vends_by: dict[tuple[str, str], Counter] = {}
        self._vend_duration = Histogram(
            "tokenkeep_token_vend_duration_seconds",
            "How long a request for a token took until its answer, in seconds, waiting for a refresh included.",
            unit="seconds",
            buckets=_VEND_BUCKETS_S,
            registry=self._registry,
        )
        self._requests = Counter(
            "tokenkeep_http_requests_total",
            "Requests to the API by method, route and status code of the answer; none if the caller left before it; counted when it ended.",
            ["method", "route", "code"],
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
            "Webhooks that were disabled for what their endpoints answered, by reason: gone (410), or failing (for five days).",
            ["reason"],
            registry=self._registry,
        )
        for outcome in sorted(WEBHOOK_OUTCOMES):
            self._webhook_deliveries.labels(outcome)
        for reason in sorted(WEBHOOK_DISABLED_REASONS):
            self._webhooks_disabled.labels(reason)
