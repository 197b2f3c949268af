"""What follows for an account when a provider says that our client, or our request, is wrong.

That is a matter of its source, which pauses over it before long. Where it does not, others are served with the same client, and it is
the account's after all: its tenant has switched the app off, or may not use it.
"""

from dataclasses import replace
from datetime import datetime

from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.postponement import held_back, postponed, set_aside
from tokenkeep.domain.refresh_policy import RefreshPolicy, spread
from tokenkeep.domain.standing import Circumstances, Rules, Settlement, Standing
from tokenkeep.domain.verdict import Misconfigured

_BLAMES_THE_CLIENT = {FailureReason.INVALID_CLIENT, FailureReason.PROVIDER_4XX}


def client_refused(
    standing: Standing, verdict: Misconfigured, *, now: datetime, rules: Rules, circumstances: Circumstances
) -> Settlement:
    """The account is untouched for as long as its source may still be found to be at fault; then it is failing like any other.

    A failed client login can burn a grant at some servers: nobody tries again within `misconfigured_backoff`, unless the client is
    another one by now.
    """
    policy, reason, status, code = rules.policy, verdict.reason, verdict.http_status, verdict.code
    since = _refused_since(standing, circumstances, now=now, policy=policy)
    if now - since >= policy.client_fault_patience:
        failures = standing.lease.consecutive_failures
        jitter = spread(standing.account.id, standing.credential.generation + 1000 * (failures + 1))
        until = now + policy.refused_wait(failures, jitter=jitter)
        failed = postponed(standing, reason, status, code, until=until, now=now, rules=rules)
        return held_back(failed, now + policy.misconfigured_backoff)
    wait = policy.shortest_wait if circumstances.client_changed else policy.misconfigured_backoff
    aside = set_aside(standing, reason, status, code, until=now + wait, now=now)
    return replace(aside, standing=replace(aside.standing, lease=replace(aside.standing.lease, failing_since=since)))


def _refused_since(
    standing: Standing, circumstances: Circumstances, *, now: datetime, policy: RefreshPolicy
) -> datetime:
    """Since when the account is refused. While the source is blamed, or has another client by now, that is no matter of the account.

    One that was not asked for longer than it waits has been spared meanwhile: its source was paused.
    """
    error, since = standing.account.last_error, standing.lease.failing_since
    if circumstances.client_changed or circumstances.on_trial or since is None or error is None:
        return now
    goes_on = (
        error.reason in _BLAMES_THE_CLIENT and now - error.at <= policy.longest_backoff + policy.client_fault_patience
    )
    return since if goes_on else now
