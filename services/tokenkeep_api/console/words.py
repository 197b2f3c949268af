"""What the console says of states, reasons, attempts and events: plain words, for people who were woken up."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tokenkeep.application.environment_figures import SourceTries

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_DOWN = ("network_error", "timeout", "provider_5xx", "in_doubt")
_FEWEST = 10

PAUSED = {
    "by_operator": "Somebody paused it.",
    "mass_revocation": "So many grants were refused at once that the provider is not believed. Somebody has to decide.",
    "rollback": "The database seems to have gone back in time. Resume only when you know which grants it holds.",
    "invalid_client": "The provider does not accept our client id or secret. Enter the right secret: refreshes go on by themselves.",
    "insufficient_response": "The provider's answers lack what is needed. Look at the source's options.",
}
DISABLED = {
    "revoked": "The provider says that the grant is dead: its user took the access back, or the provider did. "
    "Only the user can bring it back, by connecting again.",
    "expired": "The credentials have run out, and nothing renews them. The user has to connect again.",
    "uninstalled": "We were told that the app was uninstalled at the provider. The user has to connect again.",
    "released": "The refresh token was handed back to its owner. tokenkeep does not refresh it any more.",
    "by_operator": "Somebody switched it off. It can be enabled again.",
    "in_doubt": "A refresh token was used up and the provider's answer never came, so the new one is lost at the provider's side. "
    "The user has to connect again.",
    "source_deleted": "Its source was deleted.",
}
FAILURES = {
    "invalid_grant": "the provider refused the grant",
    "invalid_client": "the provider refused our client id or secret",
    "no_refresh_token": "there is no refresh token",
    "network_error": "the provider could not be reached",
    "timeout": "the provider did not answer in time",
    "rate_limited": "the provider asked us to slow down",
    "provider_5xx": "the provider had an error of its own",
    "provider_4xx": "the provider refused the request",
    "malformed_response": "the provider's answer made no sense",
    "insufficient_response": "the provider's answer lacked what is needed",
    "internal_error": "something went wrong here",
}
_OUTCOMES = {
    "ok": "Refreshed.",
    "refused": "Refused",
    "failed": "Did not work",
    "not_sent": "Nothing was sent",
    "in_doubt": "Sent, and the answer was lost: nobody knows whether it counted",
    "superseded": "Overtaken by a newer refresh; its answer was not used.",
    None: "Not finished yet.",
}
_TRIGGERS = {
    "schedule": "as planned",
    "demand": "because somebody asked for it",
    "probe": "to see whether the source works",
    "report": "because a service reported that the token is refused",
}
_EVENTS = {
    "account.created": "Account created.",
    "account.activated": "Account is active: it has all that it needs.",
    "account.refreshed": "Refreshed.",
    "account.failing": "Refreshing does not succeed",
    "account.recovered": "Works again.",
    "account.in_doubt": "A refresh was sent and its answer lost; being settled.",
    "account.token_rejected": "A service reported that the provider refuses the token.",
    "account.expiring": "The refresh token will run out; the user should connect again before.",
    "account.disabled": "Disabled",
    "account.enabled": "Enabled again.",
    "account.reauthorized": "The user connected again.",
    "account.released": "The refresh token was handed back.",
    "account.deleted": "Account deleted.",
    "source.paused": "Source paused",
    "source.resumed": "Source resumed.",
    "webhook.disabled": "Webhook disabled",
    "webhook.enabled": "Webhook enabled again.",
}
STATES = {
    "pending": "waiting for credentials",
    "active": "active",
    "disabled": "disabled",
    "healthy": "healthy",
    "failing": "failing",
    "paused": "paused",
}
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
    "webhook_deleted": "The webhook is deleted.",
    "redelivered": "Will be delivered once more, within seconds.",
    "redelivered_some": "That are very many. The first of them will be delivered; choose a shorter time for the others.",
    "retried": "It is tried again, within seconds. If it fails once more, it comes back here.",
    "key_deleted": "The key is withdrawn. It stopped working at once.",
    "signed_out": "You are signed out.",
}
"""What is said after something was done, by the code that stands in the address then."""


def clock(moment: datetime | str) -> str:
    """A time as people read it, in UTC: the one clock of a team in several places."""
    return moment_at(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment_at(moment: datetime | str) -> datetime:
    """A time, which the API tells as RFC 3339 text."""
    return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)


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


def attempt(it: Mapping[str, Any]) -> str:
    """An entry of the refresh journal."""
    outcome = it["outcome"]
    said = _OUTCOMES[outcome]
    if outcome in {"refused", "failed", "not_sent"}:
        said += f": {FAILURES.get(it['reason'], it['reason'] or 'nobody knows why')}{answer(it)}."
    elif outcome == "in_doubt":
        said += "."
    if it["resolution"] == "recovered":
        said += " The grant is alive: an earlier doubt is settled."
    if it["resolution"] == "lost":
        said += " A rotation is lost for good."
    if it["presentations"] > 1:
        said += f" The refresh token was shown {it['presentations']} times."
    return said


def answer(it: Mapping[str, Any]) -> str:
    """What the provider answered, in brackets: its status, its code."""
    status, code = it.get("http_status"), it.get("error_code")
    parts = [f"HTTP {status}" if status else None, f"“{code}”" if code else None]
    shown = ", ".join(part for part in parts if part)
    return f" ({shown})" if shown else ""


def trigger(it: Mapping[str, Any]) -> str:
    """Why it was tried."""
    asked: str = it["trigger"]
    return _TRIGGERS.get(asked, asked)


def event(it: Mapping[str, Any]) -> str:
    """What an event tells."""
    name: str = it["type"].removeprefix("tokenkeep.")
    said = _EVENTS.get(name, name)
    reason = it["data"].get("reason")
    if said.endswith(".") or reason is None:
        return said if said.endswith(".") else f"{said}."
    return f"{said}: {_reason(reason)}"


def _reason(reason: str) -> str:
    if reason in FAILURES:
        return f"{FAILURES[reason]}."
    told = DISABLED.get(reason) or PAUSED.get(reason)
    return f"{reason}." if told is None else f"{told[0].lower()}{told[1:]}"


def paused(reason: str | None) -> str:
    """Why a source is paused."""
    if reason is None:
        return ""
    return PAUSED.get(reason) or f"{FAILURES.get(reason, reason).capitalize()}."


def is_down(tries: SourceTries) -> bool:
    """Whether the endpoint looks down, by the measure of the breaker that each worker has (`domain.outage_breaker`): half of ten."""
    down = sum(tries.failed.get(reason, 0) for reason in _DOWN)
    return down >= _FEWEST and 2 * down >= tries.succeeded + sum(tries.failed.values())


def endpoint(tries: SourceTries) -> str | None:
    """What a source's latest tries say of its provider's endpoint; None if nothing."""
    if is_down(tries):
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


def standing(account: Mapping[str, Any]) -> list[str]:
    """How an account stands and why, in sentences."""
    said = []
    disabled, error = account["disabled"], account["last_error"]
    if disabled is not None:
        by = {"tokenkeep": "tokenkeep itself", "provider": "a signed notice of the provider's"}
        detail = f" ({disabled['detail']})" if disabled["detail"] else ""
        said.append(f"{DISABLED[disabled['reason']]}{detail}")
        said.append(f"Disabled at {clock(disabled['at'])} by {by.get(disabled['by'], disabled['by'])}.")
    if account["state"] == "pending":
        missing = ", ".join(name.partition(".")[2] or name for name in account["missing"])
        said.append(f"It can't be used yet. It lacks: {missing}." if missing else "It can't be used yet.")
    if account["state"] == "active" and account["health"] == "failing":
        said.append("Refreshing does not succeed, but nothing has shown that the grant is dead. It is tried again.")
    if error is not None and (account["consecutive_failures"] or disabled is not None):
        often = account["consecutive_failures"]
        tries = f" It has failed {often} times in a row." if often > 1 else ""
        said.append(f"The last failure, at {clock(error['at'])}: {FAILURES[error['reason']]}{answer(error)}.{tries}")
    if account["in_doubt"] is not None:
        said.append(
            f"A refresh was sent at {clock(account['in_doubt']['since'])} and the answer never came. What became of it is being found out."
        )
    return said or ["All is well."]
