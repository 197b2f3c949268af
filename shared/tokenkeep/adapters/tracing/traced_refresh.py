"""The two steps of a refresh that the spans of an account are made of."""

from typing import Any

from tokenkeep.adapters.tracing.traces import Traces
from tokenkeep.application.keep_answers import KeepAnswers
from tokenkeep.application.present_token import Presented, PresentToken
from tokenkeep.application.refreshing import Answered, RefreshTask
from tokenkeep.application.settle_attempts import Settled


class TracedPresent(PresentToken):
    """Presents a token in a span of its own. If there is an answer, the account's spans stay open until it is kept."""

    def __init__(self, traces: Traces, **parts: Any) -> None:
        super().__init__(**parts)
        self._traces = traces

    async def __call__(self, task: RefreshTask) -> Presented | None:
        """As without traces."""
        spans = self._traces.account(task)
        try:
            presented = await super().__call__(task)
        except BaseException as error:
            spans.failed(error)
            self._traces.taken(task.leased.attempt_id)
            raise
        if presented is None:
            spans.ended()
            self._traces.taken(task.leased.attempt_id)
        else:
            spans.answered(presented)
        return presented


class TracedKeep(KeepAnswers):
    """Keeps an answer in a span of its own, and ends the account's."""

    def __init__(self, traces: Traces, **parts: Any) -> None:
        super().__init__(**parts)
        self._traces = traces

    async def __call__(self, answered: Answered) -> Settled | None:
        """As without traces."""
        spans = self._traces.taken(answered.attempt.id)
        if spans is None:
            return await super().__call__(answered)
        spans.settling()
        try:
            settled = await super().__call__(answered)
        except BaseException as error:
            spans.failed(error)
            raise
        spans.ended(settled)
        return settled
