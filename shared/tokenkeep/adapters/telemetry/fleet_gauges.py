"""Gauges of what the database holds, rendered from the figures that were observed last."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tokenkeep.application.fleet import FleetFigures
from tokenkeep.domain.ids import IdKind, format_id

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")

_ACCOUNTS: Final = "Accounts by source, state, health and, where disabled, the reason."
_EXPIRED: Final = "Active accounts whose token has expired: the service level, which should be 0."
_DUE: Final = "Accounts that are due for a refresh and not yet handed to a worker."
_PAUSED: Final = "1 for each source that is paused, with the reason; other sources are absent."
_PENDING: Final = "Events in the outbox that are not yet published."
_LAG: Final = "How long the oldest unpublished event has waited, in seconds."


class FleetGauges(Collector):
    """Shows all of one observation or nothing: a scrape never meets half of a new one, nor a group that is gone.

    Before the first observation there are no gauges at all, so a process that observes nothing shows no false zeros.
    Every scheduler shows the same fleet: aggregate over instances by `max`, not by `sum`.
    """

    def __init__(self) -> None:
        self._figures: FleetFigures | None = None

    def observe(self, figures: FleetFigures) -> None:
        """Show these from now on."""
        self._figures = figures

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauges' names, by which the registry refuses duplicates before there is anything to show."""
        return _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the last observation."""
        figures = self._figures
        if figures is None:
            return
        accounts, expired, due, paused, pending, lag = _families()
        for group, count in figures.accounts.items():
            reason = "" if group.reason is None else group.reason.value
            source = format_id(IdKind.SOURCE, group.source_id)
            accounts.add_metric([source, group.state.value, group.health.value, reason], count)
        for provider, count in figures.expired.items():
            expired.add_metric([provider], count)
        due.add_metric([], figures.due)
        for source_id, reason in figures.paused.items():
            # A constant is a label; an operator's free text is not.
            label = reason if _REASON.fullmatch(reason) else "other"
            paused.add_metric([format_id(IdKind.SOURCE, source_id), label], 1)
        pending.add_metric([], figures.outbox_pending)
        lag.add_metric([], figures.outbox_lag.total_seconds())
        yield from (accounts, expired, due, paused, pending, lag)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("tokenkeep_accounts", _ACCOUNTS, labels=["source", "state", "health", "reason"]),
        GaugeMetricFamily("tokenkeep_accounts_expired", _EXPIRED, labels=["provider"]),
        GaugeMetricFamily("tokenkeep_accounts_due", _DUE, labels=[]),
        GaugeMetricFamily("tokenkeep_source_paused", _PAUSED, labels=["source", "reason"]),
        GaugeMetricFamily("tokenkeep_outbox_pending", _PENDING, labels=[]),
        GaugeMetricFamily("tokenkeep_outbox_lag_seconds", _LAG, labels=[], unit="seconds"),
    )
