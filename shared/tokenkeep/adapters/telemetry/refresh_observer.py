"""The road of a refresh as metrics and log lines: at most one line for each settled account.

While many are refreshed, successes share a line: what is well is counted, what is not is told one by one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.refreshing import Answered, StuckLease
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId, AttemptId, IdKind, SourceId, format_id
from tokenkeep.domain.rate_limit import Rate, take
from tokenkeep.domain.source import Source
from tokenkeep.domain.standing import Settlement

LINES_PER_S: Final = 50
"""So many refreshes that succeed have a line of their own each second, in the long run, if no setting says otherwise."""
_BURST_S: Final = 4
"""For how many seconds' worth of them a quiet time makes up."""

_log = structlog.get_logger("tokenkeep.refresh")


class RefreshTelemetry:
    """Counts and logs what workers and sweepers do."""

    def __init__(
        self, metrics: Metrics, *, lines_per_s: int = LINES_PER_S, clock: Callable[[], float] = monotonic
    ) -> None:
        """`lines_per_s`: beyond so many, successes are told by a line for their batch; 0 tells all of them so."""
        self._metrics = metrics
        self._clock = clock
        self._rate = Rate(lines_per_s, _BURST_S * lines_per_s) if lines_per_s else None
        self._full_at = 0.0
        self._untold: set[AttemptId] = set()

    def contended(self, count: int) -> None:
        """Accounts whose custody lock somebody else holds."""
        for _ in range(count):
            self._metrics.custody_contended()

    def not_prepared(self, account_id: AccountId, correlation_id: str, error: str) -> None:
        """A request could not be made on our side: a key or a property is missing."""
        self._metrics.faults.met("not_prepared")
        _log.error("refresh_not_prepared", account_id=_account(account_id), correlation_id=correlation_id, error=error)

    def fenced_off(self, account_id: AccountId, correlation_id: str) -> None:
        """The lease, or the token, changed before anything was sent."""
        _log.info("refresh_fenced_off", account_id=_account(account_id), correlation_id=correlation_id)

    def abandoned(self, account_id: AccountId, correlation_id: str, error: Exception) -> None:
        """A refresh ended in an error of ours or of a store's before it was settled; a sweeper will see to it."""
        self._metrics.faults.met("abandoned")
        _log.error("refresh_abandoned", account_id=_account(account_id), correlation_id=correlation_id, exc_info=error)

    def settle_failed(self, account_id: AccountId, correlation_id: str, error: str) -> None:
        """An answer could not be made durable yet; it is kept and tried again."""
        self._metrics.faults.met("settle_delayed")
        _log.warning(
            "refresh_settle_delayed", account_id=_account(account_id), correlation_id=correlation_id, error=error
        )

    def refused_work(self, count: int) -> None:
        """No custody is taken: an operator holds it, or this process has an answer that it can put nowhere."""
        self._metrics.faults.refused(count)
        _log.error("custody_refused", accounts=count)

    def not_presented_again(self, account_id: AccountId, correlation_id: str, error: Exception) -> None:
        """The holder could not ask once more within the grace; the doubt takes its usual way."""
        _log.warning(
            "refresh_not_presented_again",
            account_id=_account(account_id),
            correlation_id=correlation_id,
            error=type(error).__name__,
        )

    def spooled(self, account_id: AccountId, correlation_id: str) -> None:
        """The database can't be had; a token set waits in the spool."""
        self._metrics.faults.spooled("written")
        _log.warning("refresh_spooled", account_id=_account(account_id), correlation_id=correlation_id)

    def spool_failed(self, account_id: AccountId, correlation_id: str, error: Exception) -> None:
        """The spool could not be written: the token set is in this process alone. This wants an operator at once."""
        self._metrics.faults.spooled("failed")
        _log.critical(
            "refresh_spool_failed", account_id=_account(account_id), correlation_id=correlation_id, exc_info=error
        )

    def not_drained(self, account_id: AccountId, correlation_id: str, error: Exception) -> None:
        """An answer in the spool can't be settled; it is left there."""
        _log.error("spool_file_left", account_id=_account(account_id), correlation_id=correlation_id, exc_info=error)

    def spool_drained(self, drained: int, left: int) -> None:
        """What a process had left in the spool is settled. What is left can't be opened, and wants an operator."""
        self._metrics.faults.spooled("drained", drained)
        self._metrics.faults.spooled("unreadable", left)
        (_log.error if left else _log.info)("spool_drained", answers=drained, left=left)

    def left_in_spool(self, account_id: AccountId, correlation_id: str) -> None:
        """The process ends before the database came back; the next one finds the token set in the spool."""
        _log.error("refresh_left_in_spool", account_id=_account(account_id), correlation_id=correlation_id)

    def rollback_noticed(self, account_id: AccountId, correlation_id: str) -> None:
        """The account's row is older than what was stored before. Nothing was sent."""
        _log.error("database_went_back", account_id=_account(account_id), correlation_id=correlation_id)

    def endpoint_rests(self, source_id: SourceId, provider: str, *, again: bool) -> None:
        """The source's endpoint is down; nothing is sent to it for a while. `again`: one account showed that it still is."""
        self._metrics.rests.began(source_id, provider, again=again)
        if not again:
            _log.warning("endpoint_resting", source_id=_source(source_id))

    def endpoint_back(self, source_id: SourceId) -> None:
        """It answers again."""
        self._metrics.rests.ended(source_id)
        _log.info("endpoint_back", source_id=_source(source_id))

    def source_changed(self, source: Source) -> None:
        """A source was paused or resumed by what its provider said."""
        _log.warning(
            "source_changed",
            source_id=_source(source.id),
            state=source.state.value,
            reason=source.paused_reason,
        )

    def source_not_changed(self, source_id: SourceId, error: Exception) -> None:
        """What a verdict says of its source could not be written; the next one says it again."""
        _log.warning("source_not_changed", source_id=_source(source_id), error=type(error).__name__)

    def settled(self, answered: Answered, settlement: Settlement, *, duration_s: float, late_s: float) -> None:
        """One attempt has ended."""
        self._count(answered, settlement, duration_s=duration_s, late_s=late_s)
        attempt = answered.attempt
        if self._goes_without_saying(settlement):
            self._untold.add(attempt.id)
            return
        line = _log.info if settlement.outcome is Outcome.OK else _log.warning
        line(
            "refresh_settled",
            account_id=_account(attempt.account_id),
            attempt_id=format_id(IdKind.ATTEMPT, attempt.id),
            correlation_id=attempt.correlation_id,
            source_id=_source(answered.source.id),
            provider=answered.source.provider,
            trigger=attempt.trigger.value,
            outcome=settlement.outcome.value,
            state=settlement.standing.account.state.value,
            generation=settlement.standing.credential.generation,
            presentations=answered.presentations,
            reason=None if settlement.reason is None else settlement.reason.value,
            held=settlement.held,
            http_status=settlement.http_status,
            duration_ms=round(duration_s * 1000),
        )

    def batch_settled(self, settled: Sequence[tuple[Answered, Settlement]]) -> None:
        """A batch has ended. Successes that got no line of their own are told by one for each of the batch's providers."""
        ids = {answered.attempt.id for answered, _ in settled}
        untold = ids & self._untold
        self._untold -= untold
        for provider in sorted({one.source.provider for one, _ in settled if one.attempt.id in untold}):
            its = [(one, settlement) for one, settlement in settled if one.source.provider == provider]
            _log.info(
                "refreshes_settled",
                provider=provider,
                trigger=its[0][0].attempt.trigger.value,
                correlation_id=its[0][0].attempt.correlation_id,
                accounts=len(its),
                outcomes=dict(Counter(settlement.outcome.value for _, settlement in its)),
                without_line=sum(one.attempt.id in untold for one, _ in its),
            )

    def _count(self, answered: Answered, settlement: Settlement, *, duration_s: float, late_s: float) -> None:
        provider = answered.source.provider
        self._metrics.refresh_attempted(
            provider, outcome=settlement.outcome, reason=settlement.reason, trigger=answered.attempt.trigger
        )
        if settlement.stale:
            self._metrics.stale_write_refused()
        if settlement.outcome is not Outcome.NOT_SENT:
            self._metrics.refresh_took(provider, duration_s)
        if settlement.outcome is Outcome.OK:
            self._metrics.refresh_settled(provider, timedelta(seconds=late_s))
        if settlement.resolution is not None:
            self._metrics.doubt_resolved(settlement.resolution.value)

    def _goes_without_saying(self, settlement: Settlement) -> bool:
        """Whether nothing has changed but the token, and there is more of that than anybody reads."""
        told = {happening.type for happening in settlement.happenings}
        if settlement.outcome is not Outcome.OK or settlement.resolution is not None or told - {EventType.REFRESHED}:
            return False
        if self._rate is None:
            return True
        taken = take(self._full_at, self._rate, now=self._clock())
        self._full_at = taken.full_at
        return taken.retry_after_s is not None

    def not_taken_over(self, lease: StuckLease, error: str) -> None:
        """A stuck lease could not be freed in this round."""
        _log.warning(
            "lease_not_taken_over",
            account_id=_account(lease.account_id),
            correlation_id=lease.correlation_id,
            phase=lease.phase,
            error=error,
        )

    def not_ended(self, account_id: AccountId, error: Exception) -> None:
        """Credentials that ran out could not be disabled in this round."""
        _log.warning("expiry_not_told", account_id=_account(account_id), error=type(error).__name__)

    def taken_over(self, lease: StuckLease, settlement: Settlement) -> None:
        """A lease whose holder was silent has been freed."""
        _log.warning(
            "lease_taken_over",
            account_id=_account(lease.account_id),
            attempt_id=format_id(IdKind.ATTEMPT, lease.attempt_id),
            correlation_id=lease.correlation_id,
            phase=lease.phase,
            next_refresh_at=settlement.standing.lease.next_refresh_at,
        )


def _account(account_id: AccountId) -> str:
    return format_id(IdKind.ACCOUNT, account_id)


def _source(source_id: SourceId) -> str:
    return format_id(IdKind.SOURCE, source_id)
