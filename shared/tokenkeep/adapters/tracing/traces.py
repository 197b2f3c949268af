"""The spans of a process, and which of them is the parent of what it writes and sends.

A trace is one message: a tick, or a request, hints at a batch of accounts; from there it leads by the batch and the account to
the provider, the settlement and the published event. Ids go along in the message and in the event's row (W3C `traceparent`).
A span never holds a secret: ids, names of the vocabulary, hosts and HTTP statuses are all that it is told.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Thread
from time import time_ns
from typing import Final
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from structlog.contextvars import bound_contextvars

from tokenkeep import __version__
from tokenkeep.adapters.tracing.account_spans import AccountSpans
from tokenkeep.adapters.tracing.quiet import end
from tokenkeep.application.refreshing import RefreshTask
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AttemptId, IdKind, SourceId, format_id

TRACEPARENT = "traceparent"

_W3C = TraceContextTextMapPropagator()
_SERVER_FAULT = 500
_LAST_SPANS_S: Final = 5.0
"""How long a process that ends may be kept by a collector that does not answer. Its library would wait for half a minute."""
_AT_HAND: ContextVar[tuple[str, Span] | None] = ContextVar("tokenkeep_span_at_hand", default=None)
"""What this task works on. Callers choose the ids of their requests, so two that are under way at once may share one."""

Attributes = Mapping[str, AttributeValue]
RequestEnded = Callable[[str | None, int | None], None]


class Traces:
    """One process's spans. Nothing here raises where a refresh could suffer from it."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tokenkeep", __version__)
        # What is under way, by what is known where something is written or sent of it. Bounded by what is under way.
        self._ticks: dict[str, int] = {}
        self._causes: dict[str, Span] = {}
        self._writing: dict[tuple[str, UUID], Span] = {}
        self._attempts: dict[AttemptId, AccountSpans] = {}

    @contextmanager
    def tick(self, correlation_id: str) -> Iterator[None]:
        """A scheduler's tick: the messages that it gives begin their traces when it began."""
        self._ticks[correlation_id] = time_ns()
        try:
            yield
        finally:
            del self._ticks[correlation_id]

    def of_message(self, trigger: Trigger, accounts: int, correlation_id: str) -> dict[str, str]:
        """What goes along with a message to the workers. Of a tick, each message is a trace of its own."""
        began, cause = self._ticks.get(correlation_id), self._cause(correlation_id)
        span = self._start(
            "refresh demanded" if began is None else "tick",
            Context() if cause is None else set_span_in_context(cause),
            SpanKind.PRODUCER,
            {
                "messaging.system": "redis",
                "messaging.operation.type": "send",
                "messaging.batch.message_count": 1,
                "tokenkeep.accounts": accounts,
                "tokenkeep.trigger": trigger.value,
                "tokenkeep.correlation_id": correlation_id,
            },
            start_time=began,
        )
        end(span)
        return _carried(span)

    @contextmanager
    def batch(
        self,
        *,
        accounts: int,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None,
        traceparent: str | None,
    ) -> Iterator[None]:
        """A worker's batch: what a message named."""
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "redis",
            "messaging.operation.type": "process",
            "tokenkeep.accounts": accounts,
            "tokenkeep.trigger": trigger.value,
            "tokenkeep.correlation_id": correlation_id,
        }
        if source_id is not None:
            attributes["tokenkeep.source_id"] = format_id(IdKind.SOURCE, source_id)
        span = self._start("refresh batch", _context(traceparent), SpanKind.CONSUMER, attributes)
        with self._caused(correlation_id, span), _current(span):
            yield

    def account(self, task: RefreshTask) -> AccountSpans:
        """One account's refresh, in the batch that is the present one."""
        spans = AccountSpans(self._tracer, task, self._writing)
        self._attempts[task.leased.attempt_id] = spans
        return spans

    def taken(self, attempt_id: AttemptId) -> AccountSpans | None:
        """The spans of an attempt whose answer is to be kept; whoever takes them ends them."""
        return self._attempts.pop(attempt_id, None)

    @contextmanager
    def request(self, method: str, correlation_id: str, traceparent: str | None) -> Iterator[RequestEnded]:
        """A request to the API. It is told the route, as it is declared, and the answer's status when it ends."""
        span = self._start(
            method,
            _context(traceparent),
            SpanKind.SERVER,
            {"http.request.method": method, "tokenkeep.correlation_id": correlation_id},
        )

        def ended(route: str | None, status: int | None) -> None:
            if route is not None:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if status is None or status >= _SERVER_FAULT:
                span.set_status(Status(StatusCode.ERROR))

        with self._caused(correlation_id, span), _current(span):
            yield ended

    def parent_of(self, correlation_id: str | None, subject: UUID) -> str | None:
        """What an event that is being written keeps of its trace; None if nobody follows it."""
        if correlation_id is None:
            return None
        span = self._writing.get((correlation_id, subject)) or self._cause(correlation_id)
        with suppress(Exception):  # it is asked amid the transaction that keeps a provider's answer
            if span is not None and span.get_span_context().trace_flags.sampled:
                return _carried(span).get(TRACEPARENT)
        return None

    def published(self, events: Iterable[Event], *, began: int, destination: str) -> None:
        """These events are where they were to be brought, since `began` (nanoseconds of the Unix epoch)."""
        for event in events:
            if event.traceparent is not None:
                span = self._start(
                    f"publish {event.type}",
                    _context(event.traceparent),
                    SpanKind.PRODUCER,
                    {**_of_event(event), "messaging.system": "redis", "messaging.destination.name": destination},
                    start_time=began,
                )
                end(span)

    def delivered(self, event: Event, *, began: int, host: str | None, status: int | None, taken: bool) -> None:
        """This event was posted to a webhook at `host`, which answered with `status`, if at all."""
        if event.traceparent is None:
            return
        attributes = dict(_of_event(event))
        if host is not None:
            attributes["server.address"] = host
        if status is not None:
            attributes["http.response.status_code"] = status
        parent = _context(event.traceparent)
        span = self._start(f"deliver {event.type}", parent, SpanKind.CLIENT, attributes, start_time=began)
        if not taken:
            span.set_status(Status(StatusCode.ERROR))
        end(span)

    async def close(self, *, within_s: float = _LAST_SPANS_S) -> None:
        """Hand over what is ended, and stop. A collector that does not answer in time is left behind."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            with suppress(Exception):
                self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended without us
                loop.call_soon_threadsafe(done.set)

        # A daemon: neither the loop nor the interpreter waits for its end.
        Thread(target=shut_down, name="last-spans", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), within_s)

    def _start(
        self, name: str, context: Context, kind: SpanKind, attributes: Attributes, *, start_time: int | None = None
    ) -> Span:
        try:
            return self._tracer.start_span(name, context, kind, attributes, start_time=start_time)
        except Exception:  # noqa: BLE001 - work goes on without a span, whatever is wrong with those
            return INVALID_SPAN

    def _cause(self, correlation_id: str) -> Span | None:
        at_hand = _AT_HAND.get()
        if at_hand is not None and at_hand[0] == correlation_id:
            return at_hand[1]
        return self._causes.get(correlation_id)

    @contextmanager
    def _caused(self, correlation_id: str, span: Span) -> Iterator[None]:
        self._causes[correlation_id] = span
        token = _AT_HAND.set((correlation_id, span))
        try:
            yield
        finally:
            _AT_HAND.reset(token)
            if self._causes.get(correlation_id) is span:
                del self._causes[correlation_id]


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """The span as the present one, in traces and in the log, until the block ends; what fails it is told by its kind alone."""
    trace_id = f"{span.get_span_context().trace_id:032x}"
    with (
        bound_contextvars(trace_id=trace_id),
        use_span(span, record_exception=False, set_status_on_exception=False),
    ):
        try:
            yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            end(span)


def _context(traceparent: str | None) -> Context:
    """The context that a text names; an empty one if it is none, so that a trace begins here."""
    carrier = {} if traceparent is None else {TRACEPARENT: traceparent}
    return _W3C.extract(carrier, Context())


def _carried(span: Span) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return {name: value for name, value in carrier.items() if name == TRACEPARENT}


def _of_event(event: Event) -> Attributes:
    return {
        "messaging.operation.type": "send",
        "cloudevents.event_id": format_id(IdKind.EVENT, event.id),
        "cloudevents.event_type": str(event.type),
        "cloudevents.event_subject": format_id(event.subject_kind, event.subject),
        "tokenkeep.correlation_id": event.correlation_id or "",
    }
