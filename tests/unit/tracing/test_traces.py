"""What a process keeps of its spans, and for how long it waits for whoever takes them."""

import asyncio
from threading import Event

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from seen_spans import SeenSpans
from tokenkeep.adapters.tracing.traces import Traces
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import new_id


class Hanging(SpanProcessor):
    """Never hands over its last spans, until it is let go."""

    def __init__(self) -> None:
        self.let_go = Event()

    def shutdown(self) -> None:
        self.let_go.wait()


async def test_a_process_does_not_wait_for_a_collector_that_hangs() -> None:
    hanging, provider = Hanging(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(hanging)
    try:
        async with asyncio.timeout(10):
            await Traces(provider).close(within_s=0.01)
    finally:
        hanging.let_go.set()


async def test_requests_that_share_an_id_at_once_keep_their_traces_apart() -> None:
    seen = SeenSpans()
    both = asyncio.Barrier(2)

    async def serve() -> tuple[str | None, str]:
        with seen.traces.request("POST", "chosen-by-a-caller", None):
            await both.wait()
            told = seen.traces.parent_of("chosen-by-a-caller", new_id())
            sent = seen.traces.of_message(Trigger.DEMAND, 1, "chosen-by-a-caller")["traceparent"]
            await both.wait()
        return told, sent

    for told, sent in await asyncio.gather(serve(), serve()):
        assert told is not None
        assert told.split("-")[1] == sent.split("-")[1]
    assert len({span.context.trace_id for span in seen.named("POST")}) == 2
    assert {span.context.trace_id for span in seen.named("refresh demanded")} == {
        span.context.trace_id for span in seen.named("POST")
    }
    assert seen.traces.parent_of("chosen-by-a-caller", new_id()) is None
