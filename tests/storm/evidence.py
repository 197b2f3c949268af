"""What is known of an account whose treatment was wrong: a timeline without secrets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storm.house import House
from storm.processes import Life
from storm.wire import Presentation, Recorder
from tokenkeep.domain.ids import IdKind, parse_id


class Evidence:
    """Puts side by side what provider, journal, events and processes know. Seconds count from the storm's beginning."""

    def __init__(self, house: House, recorder: Recorder, *, began: float, began_at: datetime) -> None:
        self._house = house
        self._recorder = recorder
        self._began = began
        self._began_at = began_at

    async def of(self, account_id: str) -> str:
        """The timeline of one account, as text."""
        grant = self._house.accounts.get(account_id)
        if grant is None:
            return f"{account_id}: no account\n"
        lines: list[tuple[float, str]] = []
        lives: dict[int, Life] = {}
        for one in self._recorder.presentations:
            if one.grant is grant:
                lines += self._presentation(one)
                if one.sender is not None:
                    lives[one.sender.pid] = one.sender
        for life in lives.values():
            lines += self._life(life)
        for began, over in self._house.outages:
            lines.append((began - self._began, f"PostgreSQL crashes, and is back at {over - self._began:.2f}"))
        lines += await self._journal(account_id)
        state = await self._state(account_id)
        told = "\n".join(f"{at:9.2f}  {words}" for at, words in sorted(lines))
        return f"{account_id}, grant {grant.name}, death: {grant.death}\n{state}\n{told}\n"

    def _presentation(self, one: Presentation) -> list[tuple[float, str]]:
        pid = "unknown" if one.sender is None else one.sender.pid
        fault = "" if one.fault is None else f", fault: {one.fault.name}"
        lines = [(one.arrived - self._began, f"provider: token {one.token} arrives from {pid}{fault}")]
        if one.ended is not None:
            fate = f"provider: token {one.token} {one.result}, answered: {one.answered is not None}"
            lines.append((one.ended - self._began, fate))
        return lines

    def _life(self, life: Life) -> list[tuple[float, str]]:
        lines = [(life.started - self._began, f"process {life.pid} starts")]
        lines += [(since - self._began, f"process {life.pid} is stopped") for since, _ in life.pauses]
        lines += [(over - self._began, f"process {life.pid} goes on") for _, over in life.pauses if over is not None]
        if life.ended is not None:
            lines.append((life.ended - self._began, f"process {life.pid} is killed"))
        return lines

    async def _journal(self, account_id: str) -> list[tuple[float, str]]:
        uuid = parse_id(IdKind.ACCOUNT, account_id, field="account_id")
        attempts = await self._house.read("SELECT * FROM refresh_attempts WHERE account_id = :id", id=uuid)
        events = await self._house.read("SELECT * FROM events WHERE subject = :id", id=uuid)
        lines: list[tuple[float, str]] = []
        for row in attempts:
            name = f"attempt under fence {row['fence']}, token {row['presented_generation']}"
            for moment in ("leased_at", "sent_at", "settled_at"):
                if row[moment] is not None:
                    outcome = f" as {row['outcome']} ({row['reason']})" if moment == "settled_at" else ""
                    lines.append((self._since(row[moment]), f"journal: {name} {moment.removesuffix('_at')}{outcome}"))
        for row in events:
            reason = row["data"].get("reason")
            words = f"event {row['sequence']}: {row['type']}" + ("" if reason is None else f" ({reason})")
            lines.append((self._since(row["time"]), words))
        return lines

    async def _state(self, account_id: str) -> str:
        uuid = parse_id(IdKind.ACCOUNT, account_id, field="account_id")
        rows = await self._house.read(
            "SELECT a.state, a.health, a.disabled_reason, a.disabled_detail, l.phase, l.fence, l.doubts,"
            " l.lease_until, l.next_refresh_at, l.due_at, l.not_before, c.generation, c.installed_fence, c.expires_at"
            " FROM accounts AS a JOIN leases AS l ON l.account_id = a.id JOIN credentials AS c ON c.account_id = a.id"
            " WHERE a.id = :id",
            id=uuid,
        )
        return "; ".join(f"{name}: {self._shown(value)}" for name, value in dict(rows[0]).items()) if rows else "gone"

    def _shown(self, value: Any) -> Any:
        return f"{self._since(value):.2f}" if isinstance(value, datetime) else value

    def _since(self, moment: datetime) -> float:
        return (moment - self._began_at).total_seconds()


def figures_as_text(figures: Mapping[str, int]) -> str:
    """A table of two columns."""
    width = max(len(name) for name in figures)
    return "\n".join(f"  {name:<{width}}  {count:>9,}" for name, count in figures.items())
