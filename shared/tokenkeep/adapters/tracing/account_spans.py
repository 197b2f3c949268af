"""The spans of one account's refresh. Whatever is wrong with tracing, none of these calls raises: an answer may be in hand."""

from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from tokenkeep.adapters.tracing.quiet import end
from tokenkeep.application.present_token import Presented
from tokenkeep.application.refreshing import RefreshTask
from tokenkeep.application.settle_attempts import Settled
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.verdict import Granted

_Arguments = ParamSpec("_Arguments")


def _quietly(
    call: "Callable[Concatenate[AccountSpans, _Arguments], None]",
) -> "Callable[Concatenate[AccountSpans, _Arguments], None]":
    @wraps(call)
    def quiet(self: "AccountSpans", /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        with suppress(Exception):
            call(self, *args, **kwargs)

    return quiet


class AccountSpans:
    """`refresh`, with `provider call` and then `settle` in it."""

    def __init__(self, tracer: Tracer, task: RefreshTask, writing: MutableMapping[tuple[str, UUID], Span]) -> None:
        """`writing` is told which span writes the events of an account, by the refresh's cause and the account."""
        self._tracer = tracer
        self._writing = writing
        self._key = (task.correlation_id, task.leased.account_id)
        self._account: Span | None = None
        self._step: Span | None = None
        self._begin(task)

    @_quietly
    def _begin(self, task: RefreshTask) -> None:
        leased = task.leased
        self._account = self._tracer.start_span(
            "refresh",
            attributes={
                "tokenkeep.account_id": format_id(IdKind.ACCOUNT, leased.account_id),
                "tokenkeep.attempt_id": format_id(IdKind.ATTEMPT, leased.attempt_id),
                "tokenkeep.source_id": format_id(IdKind.SOURCE, leased.source_id),
                "tokenkeep.provider": task.source.provider,
                "tokenkeep.trigger": task.trigger.value,
                "tokenkeep.correlation_id": task.correlation_id,
            },
        )
        # A path or a query may hold what is secret; a host does not.
        host = urlsplit(task.rules.refresh_url or task.rules.token_url).hostname
        self._next("provider call", SpanKind.CLIENT)
        if self._step is not None and host is not None and "{" not in host:
            self._step.set_attribute("server.address", host)

    @_quietly
    def answered(self, presented: Presented) -> None:
        """The provider has spoken, or was not asked."""
        step, verdict = self._step, presented.verdict
        if step is not None and step.is_recording():
            step.set_attribute("tokenkeep.verdict", type(verdict).__name__)
            step.set_attribute("tokenkeep.presentations", presented.presentations)
            status, reason = getattr(verdict, "http_status", None), getattr(verdict, "reason", None)
            if status is not None:
                step.set_attribute("http.response.status_code", status)
            if not isinstance(verdict, Granted):
                step.set_status(Status(StatusCode.ERROR, None if reason is None else reason.value))

    @_quietly
    def settling(self) -> None:
        """The answer is being made durable: what is written of the account from now on belongs here."""
        self._next("settle", SpanKind.INTERNAL)
        if self._step is not None:
            self._writing[self._key] = self._step

    def ended(self, settled: Settled | None = None) -> None:
        """Nothing more comes. None: nothing was to be done, or it is left to another process."""
        self._tell_outcome(settled)
        self._close()

    @_quietly
    def _tell_outcome(self, settled: Settled | None) -> None:
        account, settlement = self._account, None if settled is None else settled.settlement
        if account is not None and settlement is not None and account.is_recording():
            account.set_attribute("tokenkeep.outcome", settlement.outcome.value)
            account.set_attribute("tokenkeep.state", settlement.standing.account.state.value)
            if settlement.reason is not None:
                account.set_attribute("tokenkeep.reason", settlement.reason.value)
            if settlement.outcome is not Outcome.OK:
                account.set_status(Status(StatusCode.ERROR, settlement.outcome.value))

    def failed(self, error: BaseException) -> None:
        """A fault of ours, or of a store's. What it says may quote a secret, so its kind alone is told."""
        self._tell_fault(error)
        self._close()

    @_quietly
    def _tell_fault(self, error: BaseException) -> None:
        for span in (self._step, self._account):
            if span is not None:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))

    def _next(self, name: str, kind: SpanKind) -> None:
        if self._step is not None:
            end(self._step)
        if self._account is not None:
            self._step = self._tracer.start_span(name, set_span_in_context(self._account), kind)

    def _close(self) -> None:
        self._writing.pop(self._key, None)
        for span in (self._step, self._account):
            if span is not None:
                end(span)
