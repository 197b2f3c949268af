"""What says whether a process does its work and keeps what it holds: endpoints it rests from, its spool, its jobs, buffers and keyring."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tokenkeep.adapters.telemetry.label_values import JOB_RESULTS, REFRESH_FAULTS, SPOOLED, known
from tokenkeep.domain.ids import IdKind, SourceId, format_id


class KeyIds(Protocol):
    """A keyring, of which no more is asked than what its keys are called and when it was changed."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """All ids, the current one first."""

    @property
    def changed_at(self) -> float | None:
        """When it was changed last, in seconds of the Unix epoch; None if that can't be known."""


REST_SHOWN_S: Final = 300.0
"""Longer than a breaker rests (two minutes) and a probe may take."""


class RestMetrics(Collector):
    """Endpoints that this worker leaves alone because they are down.

    A breaker closes when its own worker reaches the endpoint again, which may be in an hour if the source's accounts go to others. So a
    rest is shown for as long as somebody finds the endpoint down, and no longer.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rests = Counter(
            "tokenkeep_source_rests_total",
            "Times that a breaker opened because a source's token endpoint was down, by provider.",
            ["provider"],
            registry=registry,
        )
        self._open: dict[SourceId, tuple[str, float]] = {}
        registry.register(self)

    def began(self, source_id: SourceId, provider: str, *, again: bool = False) -> None:
        """A source's breaker opened; or, `again`, it has been open and goes on resting, because a probe failed."""
        self._open[source_id] = provider, self._clock()
        if not again:
            self._rests.labels(provider).inc()

    def ended(self, source_id: SourceId) -> None:
        """It closed, or is forgotten."""
        self._open.pop(source_id, None)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauge's name."""
        return [self._family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The sources whose endpoints were found down lately."""
        family, since = self._family(), self._clock() - REST_SHOWN_S
        for source_id, (provider, at) in tuple(self._open.items()):
            if at >= since:
                family.add_metric([provider, format_id(IdKind.SOURCE, source_id)], 1)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "tokenkeep_source_resting",
            "1 for each source whose token endpoint this worker has found down within five minutes: its breaker is open; others are absent.",
            labels=["provider", "source"],
        )


class FaultMetrics:
    """What goes wrong on our side between a provider's answer and the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._faults = Counter(
            "tokenkeep_refresh_faults_total",
            "Refreshes that met a fault on our side, by what it was: not_prepared (no request could be made), abandoned (an error of "
            "ours or of a store's), settle_delayed (a try to store the answer failed and is repeated).",
            ["fault"],
            registry=registry,
        )
        self._spooled = Counter(
            "tokenkeep_spool_answers_total",
            "Answers with tokens that the database did not take in time, by what became of them: written to the spool, failed to be "
            "written (they are in this process alone), drained into the database later, unreadable.",
            ["result"],
            registry=registry,
        )
        self._refused = Counter(
            "tokenkeep_custody_refused_total",
            "Accounts that this worker did not take because of a custody hold, or because it has an answer that it can put nowhere.",
            registry=registry,
        )
        for fault in sorted(REFRESH_FAULTS):
            self._faults.labels(fault)
        for result in sorted(SPOOLED):
            self._spooled.labels(result)

    def met(self, fault: str) -> None:
        """Count a fault, one of `REFRESH_FAULTS`."""
        self._faults.labels(known(fault, REFRESH_FAULTS)).inc()

    def spooled(self, result: str, count: int = 1) -> None:
        """Count what became of answers that went to the spool, by one of `SPOOLED`."""
        self._spooled.labels(known(result, SPOOLED)).inc(count)

    def refused(self, accounts: int) -> None:
        """Count accounts that were not taken."""
        self._refused.inc(accounts)


class JobMetrics:
    """The jobs of a scheduler. Nothing is shown of a job before its first run.

    The label is not called `job`: Prometheus puts one of that name on all that it scrapes, and ours would be `exported_job`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "tokenkeep_job_runs_total",
            "Runs of a scheduler's jobs by how they ended: done, postponed (a store was away), failed (an error of ours).",
            ["task", "result"],
            registry=registry,
        )
        self._done = Gauge(
            "tokenkeep_job_done_timestamp_seconds",
            "When a scheduler's job last ended well, in seconds of the Unix epoch; stands still when it does not.",
            ["task"],
            unit="seconds",
            registry=registry,
        )
        self._losses = Counter(
            "tokenkeep_event_stream_losses_total",
            "Times that a consumer group lost entries of tokenkeep:events which it had not read, because they had become too many or too old.",
            registry=registry,
        )

    def ended(self, job: str, result: str) -> None:
        """A run of a job of ours ended like this, by one of `JOB_RESULTS`."""
        self._runs.labels(job, known(result, JOB_RESULTS)).inc()
        if result == "done":
            self._done.labels(job).set(time.time())

    def unread_was_dropped(self) -> None:
        """Count a consumer group from which the stream's bounds took what it had not read."""
        self._losses.inc()


class BufferMetrics:
    """What an API process gathers in memory before it is written: reads of credentials, for the audit trail above all."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "tokenkeep_buffer_flush_failures_total",
            "Tries to write what is gathered in memory (reads of credentials for the audit trail, uses of API keys) that failed; it is kept.",
            registry=registry,
        )
        self._registry = registry
        self._unwritten: Gauge | None = None

    def flush_failed(self) -> None:
        """Count a flush that failed."""
        self._failures.inc()

    def watch_reads(self, unwritten: Callable[[], int]) -> None:
        """Show how many reads of credentials are not in the audit trail yet. Other processes than the API have no such gauge."""
        if self._unwritten is None:
            self._unwritten = Gauge(
                "tokenkeep_credential_reads_unwritten",
                "Reads of credentials that are not in the audit trail yet; written each second, so it grows only while the database is away.",
                registry=self._registry,
            )
        self._unwritten.set_function(unwritten)


class KeyringGauges(Collector):
    """The keys that a process can open credentials with, as its keyring has them when it is scraped."""

    def __init__(self) -> None:
        self._keyring: KeyIds | None = None

    def watch(self, keyring: KeyIds) -> None:
        """Show this keyring."""
        self._keyring = keyring

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauges' names."""
        return self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Nothing in a process that has no keyring."""
        if self._keyring is None:
            return
        keys, changed = self._families()
        for position, key_id in enumerate(self._keyring.key_ids):
            keys.add_metric([key_id], 1 if position == 0 else 0)
        changed_at = self._keyring.changed_at
        if changed_at is not None:
            changed.add_metric([], changed_at)
        yield keys
        yield changed

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "tokenkeep_keyring_key",
                "The keys of this process's keyring by id: 1 for the one that new credentials are sealed under, 0 for former ones.",
                labels=["key"],
            ),
            GaugeMetricFamily(
                "tokenkeep_keyring_changed_timestamp_seconds",
                "When this process's keyring file was last changed, in seconds of the Unix epoch; absent for a keyring that is no file.",
                labels=[],
                unit="seconds",
            ),
        )
