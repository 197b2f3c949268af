"""The end of a storm: what became of every account, every refresh token and every event."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storm.callers import Callers
from storm.grants import Death, Grant, Kind
from storm.house import DEADLINE_S, House
from storm.listener import Heard, Listener
from storm.verdicts import Excuse, double_presentations, held_for, overlaps, why_lost
from storm.wire import Presentation, Recorder
from tokenkeep.domain.ids import IdKind, format_id

LOST = "tokens lost"
DOUBLE = "double presentations"
OVERLAP = "overlapping presentations"
FALSE = "false disables"
EVENTS = "events missed or out of order"
BROKEN = "tokens handed out that did not work"
STALE = "forced tokens older than the call"
STUCK = "accounts that never came to rest"
MUST_BE_ZERO = (LOST, DOUBLE, OVERLAP, FALSE, EVENTS, BROKEN, STALE, STUCK)

_PREFIX = "tokenkeep.account."
_LONG_HELD_S = 1.0


@dataclass(slots=True)
class Findings:
    """What went wrong, by kind and account, and what is counted besides."""

    wrong: list[tuple[str, str, str]] = field(default_factory=list)
    apart: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, account_id: str, words: str) -> None:
        """Something that must not be."""
        self.wrong.append((kind, account_id, words))

    def count(self, kind: str) -> int:
        """How often something was found that must not be."""
        return sum(one == kind for one, _, _ in self.wrong)


class Judge:
    """Asked once everything is quiet."""

    def __init__(self, house: House, recorder: Recorder, listener: Listener, callers: Callers) -> None:
        self._house = house
        self._rows = recorder.by_grant()
        self._listener = listener
        self._callers = callers
        self._findings = Findings()

    async def __call__(self, restless: Sequence[str]) -> Findings:
        """The findings. `restless` are the accounts that did not come to rest in time."""
        for account_id in restless:
            self._findings.add(STUCK, account_id, "neither disabled nor refreshed twice once the storm was over")
        accounts = await self._house.read(
            "SELECT a.id, a.state, a.disabled_reason, c.generation, l.event_sequence,"
            " (SELECT count(*) FROM receipts AS r WHERE r.account_id = a.id AND r.disposition = 'tried') AS tried"
            " FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id JOIN leases AS l ON l.account_id = a.id"
        )
        for row in accounts:
            account_id = format_id(IdKind.ACCOUNT, row["id"])
            self._judge_fate(account_id, row)
            self._judge_presentations(account_id)
        await self._judge_events({format_id(IdKind.ACCOUNT, row["id"]): row for row in accounts})
        complaints = self._callers.complaints
        for account_id, words in complaints.broken:
            self._findings.add(BROKEN, account_id, words)
        for account_id, words in complaints.stale:
            self._findings.add(STALE, account_id, words)
        return self._findings

    def _judge_fate(self, account_id: str, row: Mapping[str, Any]) -> None:
        grant = self._house.accounts[account_id]
        if row["state"] == "active":
            if grant.death is not None:
                self._findings.add(LOST, account_id, f"active, but its grant was ended {grant.death}")
            return
        reason = row["disabled_reason"]
        if reason not in {"revoked", "in_doubt"}:
            self._findings.add(FALSE, account_id, f"disabled as {reason}")
        elif grant.death is Death.BY_ITS_USER:
            self._findings.apart["accounts rightly disabled, revoked by their users"] += 1
        else:
            self._judge_loss(account_id, grant, reason)

    def _judge_loss(self, account_id: str, grant: Grant, reason: str) -> None:
        """A grant that its user did not end: how did it end for us?"""
        row = self._rows.get(grant.name, [])
        if not any(one.result is not None and one.result.is_refusal for one in row):
            self._findings.add(FALSE, account_id, f"disabled as {reason}, though nobody refused its token")
            return
        why = why_lost(row, deadline_s=DEADLINE_S)
        if why is None:
            self._findings.add(LOST, account_id, "an answer that reached a living process was lost")
        elif not grant.kind.is_strict:
            self._findings.add(LOST, account_id, "lost, though its provider would have repeated the answer")
        elif reason != "in_doubt":
            self._findings.add(FALSE, account_id, f"its rotation was lost, but it is told as {reason}")
        else:
            where = {Excuse.WIRE: "on the wire", Excuse.KILLED: "with a killed process"}[why]
            self._findings.apart[f"answers lost at strict providers, {where}"] += 1
            if why is Excuse.KILLED and held_for(row) > _LONG_HELD_S:
                self._findings.apart["  of these, killed more than a second after the answer"] += 1

    def _judge_presentations(self, account_id: str) -> None:
        row = self._rows.get(self._house.accounts[account_id].name, [])
        for first, second in double_presentations(row, deadline_s=DEADLINE_S):
            self._findings.add(DOUBLE, account_id, f"token {first.token}, {second.arrived - first.arrived:.2f} s apart")
        for first, second in overlaps(row):
            if _may_overlap(first):
                self._findings.apart["overlapping presentations where they do no harm"] += 1
            else:
                self._findings.add(OVERLAP, account_id, f"tokens {first.token} and {second.token}")

    async def _judge_events(self, accounts: Mapping[str, Mapping[str, Any]]) -> None:
        told: dict[str, list[Mapping[str, Any]]] = {}
        for row in await self._house.read(
            "SELECT subject, subject_kind, sequence, id, type, data FROM events ORDER BY subject, sequence"
        ):
            told.setdefault(format_id(IdKind(row["subject_kind"]), row["subject"]), []).append(row)
        for subject in told.keys() | self._listener.subjects.keys():
            heard = self._listener.subjects.get(subject, Heard())
            for words in _unlike(told.get(subject, []), heard):
                self._findings.add(EVENTS, subject, words)
        for account_id, row in accounts.items():
            for words in _untold(told.get(account_id, []), row):
                self._findings.add(EVENTS, account_id, words)


def _may_overlap(one: Presentation) -> bool:
    """A provider that repeats its answer is asked again while it may still be at work; one that keeps tokens, too."""
    return one.kind in {Kind.KEEPS, Kind.GRACE}


def _unlike(rows: Sequence[Mapping[str, Any]], heard: Heard) -> list[str]:
    """How what was heard of a subject differs from what is stored."""
    words: list[str] = []
    sequences = [row["sequence"] for row in rows]
    if sequences != list(range(1, len(rows) + 1)):
        words.append("the stored sequence has gaps")
    stored = {row["sequence"]: format_id(IdKind.EVENT, row["id"]) for row in rows}
    missed = sorted(stored.keys() - heard.ids.keys())
    if missed:
        words.append(f"never heard: {missed[:10]}")
    if heard.out_of_order:
        words.append(f"heard before their turn: {heard.out_of_order[:10]}")
    other = [sequence for sequence, event_id in heard.ids.items() if stored.get(sequence) != event_id]
    if other or heard.changed:
        words.append(f"heard as another event than is stored: {(other + heard.changed)[:10]}")
    return words


def _untold(rows: Sequence[Mapping[str, Any]], account: Mapping[str, Any]) -> list[str]:
    """Changes of an account that were told not at all, or twice."""
    words: list[str] = []
    types = [row["type"].removeprefix(_PREFIX) for row in rows]
    if len(rows) != account["event_sequence"]:
        words.append(f"{account['event_sequence']} events counted, {len(rows)} stored")
    switches = [one for one in types if one in {"disabled", "enabled", "recovered"}]
    off = False
    for one in switches:
        if one == "disabled" and off:
            words.append("disabled twice")
        off = one == "disabled"
    if off != (account["state"] == "disabled"):
        words.append(f"it is {account['state']}, which was not told")
    if rows and rows[-1]["data"].get("state") != account["state"]:
        words.append(f"it is {account['state']}, told last as {rows[-1]['data'].get('state')}")
    refreshed, installed = types.count("refreshed"), account["generation"] - 1 - account["tried"]
    if refreshed != installed:
        words.append(f"{installed} token sets installed, {refreshed} told")
    return words
