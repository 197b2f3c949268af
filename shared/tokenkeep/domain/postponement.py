"""Refreshes that did not succeed, for reasons that are not the account's: the next attempt moves away."""

from dataclasses import replace
from datetime import datetime, timedelta

from tokenkeep.domain.account import AccountState, FailureReason, Health, LastError
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.refresh_policy import spread
from tokenkeep.domain.standing import Rules, Settlement, Standing


def postponed(
    standing: Standing,
    reason: FailureReason,
    status: int | None,
    code: str | None,
    *,
    until: datetime,
    now: datetime,
    rules: Rules,
) -> Settlement:
    """The refresh failed: it is tried again at `until`, and a run of such failures is told."""
    account, stored = standing.account, standing.credential
    failures = standing.lease.consecutive_failures + 1
    refreshing = _is_refreshing(standing)
    lease = replace(
        standing.lease.freed(),
        next_refresh_at=until if refreshing else None,
        due_at=until if refreshing else None,
        not_before=min(until, now + rules.policy.demand_floor),
        consecutive_failures=failures,
        failing_since=standing.lease.failing_since or now,
    )
    failing = refreshing and rules.policy.is_failing(
        failures=failures, now=now, obtained_at=stored.obtained_at, expires_at=stored.expires_at
    )
    turned = failing and account.health is Health.HEALTHY
    failed = account.evolve(
        health=Health.FAILING if failing else account.health, last_error=LastError(reason, status, now)
    )
    return Settlement(
        Standing(failed, lease, stored),
        Outcome.FAILED,
        reason=reason,
        http_status=status,
        error_code=code,
        happenings=(Happening(EventType.FAILING, reason.value),) if turned else (),
    )


def set_aside(
    standing: Standing, reason: FailureReason, status: int | None, code: str | None, *, until: datetime, now: datetime
) -> Settlement:
    """The fault is the source's: the account shows what was said, and is otherwise untouched. Nobody tries it before `until`."""
    refreshing = _is_refreshing(standing)
    lease = replace(
        standing.lease.freed(),
        next_refresh_at=until if refreshing else None,
        due_at=until if refreshing else None,
        not_before=until,
    )
    seen = standing.account.evolve(last_error=LastError(reason, status, now))
    return Settlement(
        Standing(seen, lease, standing.credential), Outcome.FAILED, reason=reason, http_status=status, error_code=code
    )


def held_back(settlement: Settlement, until: datetime) -> Settlement:
    """The provider named a time; on-demand callers are bound by it too."""
    lease = replace(settlement.standing.lease, not_before=until)
    return replace(settlement, standing=replace(settlement.standing, lease=lease))


def backoff(standing: Standing, rules: Rules) -> timedelta:
    """How long to wait after one more failure of this account."""
    failures = standing.lease.consecutive_failures
    jitter = spread(standing.account.id, standing.credential.generation + 1000 * (failures + 1))
    return rules.policy.backoff(failures, jitter=jitter)


def _is_refreshing(standing: Standing) -> bool:
    return standing.account.state is AccountState.ACTIVE and standing.lease.next_refresh_at is not None
