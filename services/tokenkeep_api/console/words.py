"""What the console says: the words that are told everywhere (`tokenkeep.domain.plain_words`), and its own."""

from datetime import timedelta

from tokenkeep.application.environment_figures import SourceTries
from tokenkeep.domain.plain_words import (
    DISABLED,
    FAILURES,
    PAUSED,
    attempt,
    clock,
    event,
    moment_at,
    paused,
    standing,
    trigger,
)

__all__ = [
    "AUTH_TYPES",
    "CUSTODY",
    "DELIVERIES",
    "DISABLED",
    "DONE",
    "FAILURES",
    "PAUSED",
    "attempt",
    "clock",
    "endpoint",
    "event",
    "moment_at",
    "paused",
    "span",
    "standing",
    "trigger",
]

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

AUTH_TYPES = {
    "oauth2": "OAuth 2",
    "oauth1": "OAuth 1.0a",
    "api_key": "API key",
    "basic": "User name and password",
    "bearer": "Bearer token",
    "custom": "Fields of its own",
}
DELIVERIES = {
    "pending": "waiting",
    "delivered": "delivered",
    "failed": "given up",
    "parked": "kept back: the webhook was disabled",
}
DONE = {
    "enabled": "Enabled. It is being refreshed now, which shows whether its grant is still good.",
    "disabled": "Disabled. Its tokens are not handed out any more.",
    "refresh": "A refresh was asked for. It shows up in the timeline when it is done.",
    "verified": "The provider was asked. What it said stands below.",
    "deleted": "Deleted. If the provider can be told, it is told to revoke the grant.",
    "replaced": "The credentials are replaced.",
    "saved": "Saved.",
    "created": "Created.",
    "erased": "Confirmed. The credentials are erased here.",
    "paused": "Paused. Nothing is refreshed for it until it is resumed.",
    "resumed": "Resumed. What has come due meanwhile is refreshed within seconds.",
    "believed": "The provider is believed: these accounts are disabled. The others are refreshed again.",
    "source_deleted": "The source is deleted.",
    "webhook_deleted": "The webhook is deleted.",
    "redelivered": "Will be delivered once more, within seconds.",
    "redelivered_some": "That are very many. The first of them will be delivered; choose a shorter time for the others.",
    "retried": "It is tried again, within seconds. If it fails once more, it comes back here.",
    "key_deleted": "The key is withdrawn. It stopped working at once.",
    "signed_out": "You are signed out.",
}
"""What is said after something was done, by the code that stands in the address then."""


def span(length: timedelta) -> str:
    """A length of time in one unit, rounded down."""
    seconds = int(length.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return (
            f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
            if seconds % _HOUR >= _MINUTE
            else f"{seconds // _HOUR} h"
        )
    return f"{seconds // _DAY} days"


def endpoint(tries: SourceTries) -> str | None:
    """What a source's latest tries say of its provider's endpoint; None if nothing."""
    if tries.endpoint.looks_down:
        return (
            "The provider's endpoint looks down: workers leave it alone for up to two minutes at a time, then try one account. "
            "No account is blamed for it."
        )
    if "rate_limited" in tries.failed:
        return "The provider asks us to slow down. What is due waits as long as it said."
    return None


CUSTODY = {
    "held": "kept here, sealed",
    "released": "handed back to its owner",
    "none": "there is none",
}
