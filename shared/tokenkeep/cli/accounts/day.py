"""An account's last day, as the API knows it: what was due, tried, answered, decided and told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final

from tokenkeep.cli.accounts.api import AccountsApi
from tokenkeep.cli.http_api.failure import ApiRefused
from tokenkeep.domain.plain_words import moment_at

Document = Mapping[str, Any]

DAY: Final = timedelta(days=1)
_MOST: Final = 3_000
"""So many entries of each journal are read: a day of refreshes every thirty seconds."""
_MOST_WEBHOOKS: Final = 20
_MOST_ASKED: Final = 50
"""Deliveries are asked for one event and one webhook at a time."""
_TOLD_OF_DELIVERIES: Final = ("state", "tries", "http_status", "error", "next_try_at")
_FORBIDDEN: Final = 403
_ROUTINE: Final = "tokenkeep.account.refreshed"


@dataclass(frozen=True, slots=True)
class Day:
    """A day's entries, oldest first. `deliveries` are those of the events that are no routine, by the event's id.

    `deliveries` None: the key may not look at webhooks. `whole` False: the day had more entries than are read.
    """

    since: datetime
    attempts: Sequence[Document]
    events: Sequence[Document]
    deliveries: Mapping[str, Sequence[Document]] | None
    whole: bool

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "since": self.since.isoformat().replace("+00:00", "Z"),
            "attempts": list(self.attempts),
            "events": list(self.events),
            "deliveries": None
            if self.deliveries is None
            else {event_id: list(found) for event_id, found in self.deliveries.items()},
            "whole": self.whole,
        }


def look_at(api: AccountsApi, account_id: str, *, now: datetime) -> Day:
    """The last day of an account.

    Raises:
        ApiRefused: The API did not answer, or there is no such account.
    """
    since = now - DAY
    attempts = _of_the_day(api.attempts(account_id), since, attempted_at)
    events = _of_the_day(api.events(account_id), since, lambda it: moment_at(it["time"]))
    whole = len(attempts) < _MOST and len(events) < _MOST
    told = [_without_link(event) for event in events[::-1]]
    return Day(since, attempts[::-1], told, _deliveries(api, events), whole)


def attempted_at(attempt: Document) -> datetime:
    """The latest moment of an attempt."""
    return moment_at(attempt["settled_at"] or attempt["sent_at"])


def _of_the_day(entries: Iterator[dict[str, Any]], since: datetime, at: Any) -> list[dict[str, Any]]:
    return list(islice(takewhile(lambda it: at(it) >= since, entries), _MOST))


def _deliveries(api: AccountsApi, newest_first: Sequence[Document]) -> dict[str, list[Document]] | None:
    told = [event for event in newest_first if event["type"] != _ROUTINE]
    try:
        webhooks = list(islice(api.webhooks(), _MOST_WEBHOOKS)) if told else []
        wanted = islice(_pairs(told, webhooks), _MOST_ASKED)
        found: dict[str, list[Document]] = {}
        for event, webhook in wanted:
            its = api.deliveries(webhook["id"], event["id"])
            found.setdefault(event["id"], []).extend(_delivery(webhook["id"], one) for one in its)
    except ApiRefused as refusal:
        if refusal.status == _FORBIDDEN:
            return None
        raise
    return found


def _delivery(webhook_id: str, one: Document) -> Document:
    """What became of it; what the receiver answered is nobody's business here."""
    return {"webhook_id": webhook_id, **{name: one[name] for name in _TOLD_OF_DELIVERIES}}


def _without_link(event: Document) -> Document:
    """Whoever has the link to connect the account again can connect it."""
    return {**event, "data": {name: value for name, value in event["data"].items() if name != "connect_url"}}


def _pairs(events: Iterable[Document], webhooks: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    for event in events:
        for webhook in webhooks:
            if webhook["types"] is None or event["type"] in webhook["types"]:
                yield event, webhook
