"""What all houses have in common: their short times, the points of each process, and the kinds of providers."""

from typing import Any

from tokenkeep.adapters.demo_provider import ProviderOptions
from tokenkeep.adapters.failpoints.spec import Point

RELAY_POINTS = {Point.RELAY_READ, Point.RELAY_PUBLISHED}
SWEEP_POINTS = {Point.SWEEP_UNCOMMITTED, Point.SWEEP_COMMITTED}
SCHEDULER_POINTS = {Point.CLAIMED, Point.ENQUEUED} | RELAY_POINTS | SWEEP_POINTS
SPOOL_POINTS = {Point.SPOOL_BEFORE, Point.SPOOLED}
WORKER_POINTS = [point for point in Point if point not in SCHEDULER_POINTS | SPOOL_POINTS]

HURRIED = {
    "provider_deadline_s": "2",
    "write_ahead_s": "1",
    "lease_s": "3",
    "quarantine_s": "6",
    "dispatch_timeout_s": "3",
    "tick_interval_s": "0.3",
    "sweep_interval_s": "0.5",
    "database_pool_size": "2",
    "worker_threads": "2",
    "metrics_port": "0",
    "log_format": "json",
}
PAUSE_S = 4
"""Longer than the lease, shorter than the quarantine: a longer one is what no client can survive (assumption A1)."""
RECOVERY_S = 60.0
TELLING_S = 15.0

FIRST_LIFE_S = 62.0
"""Not due before the test says so; and a strict provider is probed without waiting for the access token's end."""
_LATER_LIFE_S = 90
PROVIDERS = {
    "strict": ProviderOptions(token_lifetime_s=_LATER_LIFE_S),
    "grace": ProviderOptions(token_lifetime_s=_LATER_LIFE_S, grace_s=90),
}
"""Both detect reuse and answer it by revoking the grant."""
RULES: dict[str, dict[str, Any]] = {"strict": {}, "grace": {"old_refresh_grace_s": 90}}
"""What their sources say of them."""
