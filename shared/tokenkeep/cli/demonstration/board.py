"""What there is to show: accounts, the last events, and one line on what is happening. No drawing here."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokenkeep.cli.demonstration.subscriber import HeardEvent

_EVENTS_KEPT = 8
_ENDED_SHOWN = 4

REFRESHED = "tokenkeep.account.refreshed"
DISABLED = "tokenkeep.account.disabled"


@dataclass(frozen=True, slots=True)
class Row:
    """One account as the API last told of it. `reason` is why it is disabled, or why refreshing it fails."""

    id: str
    name: str
    state: str
    health: str
    reason: str | None
    expires_at: datetime | None
    last_refreshed_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Whether it can be used."""
        return self.state == "active"


class Board:
    """Gathers what the API and the stream tell. `on_line` gets each thing worth a line of its own."""

    def __init__(self, *, on_line: Callable[[datetime, str], None], now: Callable[[], datetime] | None = None) -> None:
        self._on_line = on_line
        self._now = now or (lambda: datetime.now(UTC))
        self._rows: dict[str, Row] = {}
        self._names: dict[str, str] = {}
        self.generations: Counter[str] = Counter()
        self.heard: deque[HeardEvent] = deque(maxlen=_EVENTS_KEPT)
        self.happening = ""
        self.disabled = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        """The accounts in the order in which they were connected."""
        return tuple(self._rows.values())

    @property
    def active(self) -> tuple[Row, ...]:
        """Those that can be used."""
        return tuple(row for row in self.rows if row.is_active)

    def see(self, account: Mapping[str, Any]) -> None:
        """Take in an account as the API shows it. Of those that ended, only the latest few stay on the board."""
        row = read_row(account)
        self._rows[row.id] = row
        self._names[row.id] = row.name
        ended = [known.id for known in self.rows if not known.is_active]
        for account_id in ended[:-_ENDED_SHOWN]:
            del self._rows[account_id]

    def knows(self, account_id: str) -> bool:
        """Whether the account is on the board, or was."""
        return account_id in self._names

    def hear(self, event: HeardEvent) -> None:
        """Take in an event of the stream."""
        self.heard.append(event)
        if event.type == REFRESHED:
            self.generations[event.subject] += 1
        elif event.type == DISABLED:
            self.disabled += 1
        self._on_line(event.time, self.describe(event))

    def tell(self, line: str) -> None:
        """Say what is happening. The same thing again is no news: an API that is away is asked every second."""
        if line == self.happening:
            return
        self.happening = line
        self._on_line(self._now(), line)

    def describe(self, event: HeardEvent) -> str:
        """An event in one line: type, whom it is about, why."""
        words = [event.type, event.external_id or self._names.get(event.subject, event.subject)]
        if event.reason is not None:
            words.append(f"({event.reason})")
        if event.type == REFRESHED:
            words.append(f"generation {self.generations[event.subject]}")
        return " ".join(words)


def read_row(account: Mapping[str, Any]) -> Row:
    """An account of the API's."""
    cause = account["disabled"] or account["last_error"] or {}
    return Row(
        id=account["id"],
        name=account["external_id"] or account["id"],
        state=account["state"],
        health=account["health"],
        reason=cause.get("reason"),
        expires_at=_time(account["expires_at"]),
        last_refreshed_at=_time(account["last_refreshed_at"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
