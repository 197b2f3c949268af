"""Whether this process traces, and by what."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import structlog

from tokenkeep.domain.errors import SettingsError

if TYPE_CHECKING:
    from tokenkeep.adapters.tracing.traces import Traces

_EXPORTERS = "opentelemetry_traces_exporter"

_log = structlog.get_logger("tokenkeep.tracing")


def open_traces(exporters: Sequence[str], *, process: str) -> "Traces | None":
    """What this process traces by; None if it does not. `exporters` are names of installed ones.

    A process that is to trace and can't, because the extra `otel` is not installed, says so and goes on without: custody matters more.

    Raises:
        SettingsError: There is no such exporter, or a variable of OpenTelemetry's holds what it can't work with.
    """
    if not exporters:
        return None
    try:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - only if it is wanted
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

        from tokenkeep.adapters.tracing.traces import Traces  # noqa: PLC0415 - as above
    except ImportError:
        _log.warning("tracing_not_installed", extra="tokenkeep[otel]")
        return None
    # What the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) counts before our own names.
    ours = Resource({"service.name": f"tokenkeep-{process}"})
    found = [_exporter(name) for name in exporters]
    try:
        provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        for exporter in found:
            provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:  # of a number among its bounds, which it names
        msg = f"OTEL_BSP_… or OTEL_SPAN_…_LIMIT: {error}"
        raise SettingsError(msg) from None
    _log.info("tracing_on", exporters=list(exporters))
    return Traces(provider)


def _exporter(name: str) -> Any:
    found = tuple(entry_points(group=_EXPORTERS, name=name))
    if not found:
        msg = f"OTEL_TRACES_EXPORTER: there is no exporter {name} installed"
        raise SettingsError(msg)
    return found[0].load()()
