"""Who has to wait, and for whose sake, as metrics and log lines."""

import structlog

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.admission_ports import Delay
from tokenkeep.domain.ids import IdKind, SourceId, format_id

_log = structlog.get_logger("tokenkeep.admission")


class AdmissionTelemetry:
    """Counts what a worker puts off."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def put_off(self, provider: str, delay: Delay, count: int) -> None:
        """So many accounts of a source of this provider can't go now."""
        self._metrics.refreshes_put_off(provider, delay.value, count)

    def throttled(self, provider: str, source_id: SourceId, span_s: float) -> None:
        """The provider asked the source to slow down; it rests for so long."""
        self._metrics.source_throttled(provider)
        source = format_id(IdKind.SOURCE, source_id)
        _log.info("source_throttled", source_id=source, provider=provider, seconds=round(span_s, 1))

    def under_way(self, count: int) -> None:
        """So many refreshes are under way in this worker."""
        self._metrics.refreshes_under_way(count)
