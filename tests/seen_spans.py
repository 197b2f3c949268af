"""Spans as a test sees them."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tokenkeep.adapters.tracing.traces import Traces


class SeenSpans:
    """Traces of a process, and what was exported of them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(provider)

    def all(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def way_to(self, span: ReadableSpan) -> list[str]:
        """The names from the beginning of its trace to this span; a parent that is not ours is `?`."""
        if span.parent is None:
            return [span.name]
        above = [one for one in self.all() if one.context.span_id == span.parent.span_id]
        assert all(one.context.trace_id == span.context.trace_id for one in above)
        return [*(self.way_to(above[0]) if above else ["?"]), span.name]


def text_of(span: ReadableSpan) -> str:
    """All that is exported of it."""
    text: str = span.to_json()
    return text
