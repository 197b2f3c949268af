"""What is said of states, reasons, attempts and events: plain words, for people who were woken up.

They read the API's documents, as whoever tells an account's story has them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

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
_SOON: Final = timedelta(minutes=1)
"""What has been due for no longer is about to be done."""
_DUE = {
    "schedule": "The refresh was due.",
    "demand": "Somebody asked for a refresh.",
    "probe": "It was chosen to show whether its source works.",
    "report": "A service reported that the provider refuses the token.",
}


def clock(moment: datetime | str) -> str:
    """A time as people read it, in UTC: the one clock of a team in several places."""
    return moment_at(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment_at(moment: datetime | str) -> datetime:
    """A time, which the API tells as RFC 3339 text."""
    return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)


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


def due(it: Mapping[str, Any]) -> str:
    """Why an attempt was made."""
    asked: str = it["trigger"]
    return _DUE.get(asked, f"A refresh was due ({asked}).")


def answered(it: Mapping[str, Any], provider: str) -> str:
    """How an attempt ended, in terms of who said what."""
    shown = answer(it)
    if it["outcome"] not in {"ok", "refused", "failed"} or not shown:
        return attempt(it)
    said = f"{provider} answered{shown}. "
    if it["outcome"] == "ok":
        return said + attempt(it)
    return said + attempt({**it, "http_status": None, "error_code": None})


def standing(account: Mapping[str, Any], *, now: datetime) -> list[str]:
    """How an account stands at this moment and why, in sentences."""
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
    if account["state"] == "active":
        said += _overdue(account, now)
    return said or ["All is well."]


def _overdue(account: Mapping[str, Any], now: datetime) -> list[str]:
    said = []
    due_at, ends_at = account["next_refresh_at"], account["expires_at"]
    if due_at is not None and account["in_doubt"] is None and moment_at(due_at) < now - _SOON:
        said.append(
            f"A refresh has been due since {clock(due_at)}, and was not made. Look at its source, which may be paused or rest, and at the workers."
        )
    if ends_at is not None and moment_at(ends_at) <= now:
        said.append(f"Its access token ran out at {clock(ends_at)}.")
    return said
