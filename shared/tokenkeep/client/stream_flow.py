"""A subscription over the Redis stream `tokenkeep:events`, by a consumer group: decisions, without input and output.

In order (`ordered`), one consumer of the group is active: it has the group's lease, and takes first what its predecessor left.
The others stand by. Out of order they share the entries, and take over those of consumers that do not live any more.
"""

import logging
from collections.abc import Callable

from tokenkeep.client import stream_scripts
from tokenkeep.client.backlog import Backlog, Entry
from tokenkeep.client.consumer_group import STREAM, Answering, ConsumerGroup, Joining, is_missing
from tokenkeep.client.effects import Beat, Command, Flow, Handle, Pause
from tokenkeep.client.errors import StreamRefused, Unreachable
from tokenkeep.client.repetitions import Repetitions
from tokenkeep.client.retrying import Done, Failed, Outcome, Postponed, Record, Rejected, RetryPolicy
from tokenkeep.client.stream_entries import read_taken
from tokenkeep.client.wanted import Wanted

WINDOW = 1_000
"""How many entries a consumer has in hand at most. Events that wait for another try hold back no more than fits."""

_AT_ONCE = 100
_STANDBY_S = 1.0
_BLOCK_S = 2.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 15.0
_LOST, _ANOTHERS = 0, 2

_log = logging.getLogger("tokenkeep.client")


class StreamFlow:
    """One consumer, from joining to leaving. `clock` is in seconds, and only ever goes forward."""

    def __init__(
        self,
        joining: Joining,
        wanted: Wanted,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float],
        stopping: Callable[[], bool],
    ) -> None:
        self._joining = joining
        self._group = ConsumerGroup(joining)
        self._wanted = wanted
        self._policy = policy
        self._clock = clock
        self._stopping = stopping
        self._backlog = Backlog(ordered=joining.ordered)
        self._repetitions = Repetitions() if joining.ordered else None
        self._done: dict[str, None] = {}  # dealt with, not yet acknowledged: kept when a reply is lost
        self._after = "-"
        self._make_from: str | None = "0" if joining.beginning else "$"
        self._rescue_at = 0.0
        self._trouble = 0

    def run(self) -> Flow:
        """Consume until the consumer is to stop, whatever Redis goes through meanwhile.

        Raises:
            StreamRefused: Redis refuses for good.
        """
        while not self._stopping():
            try:
                yield from self._make_group()
                yield from self._turn()
            except Unreachable as error:
                self._trouble += 1
                wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self._trouble - 1, 16))
                _log.warning("redis_unreachable group=%s wait_s=%.1f error=%s", self._joining.group, wait, error)
                yield Beat(None)
                yield Pause(wait)
            except StreamRefused as error:
                if not is_missing(error):
                    raise
                # Redis was flushed or replaced: what it has now was told again, or is new. So from its beginning.
                _log.warning("group_missing group=%s", self._joining.group)
                self._make_from = "0"
                self._done.clear()
        yield from self.part()

    def part(self) -> Flow:
        """Leave the group: somebody else may go on at once. What is in hand stays pending."""
        yield Beat(None)
        try:
            if self._done:
                yield from self._acknowledge()
            yield from self._group.call(stream_scripts.LEAVE, stream_scripts.LIVELY_MS)
        except (Unreachable, StreamRefused) as error:
            # The lease runs out by itself, and others take over what is pending.
            _log.warning("left_without_a_word group=%s error=%s", self._joining.group, error)

    def _turn(self) -> Answering:
        """Be active for as long as the consumer may; returns when it may not (any more), after a while."""
        if not (yield from self._group.call(stream_scripts.HOLD)):
            yield Pause(_STANDBY_S)
            return
        self._trouble = 0
        self._backlog = Backlog(ordered=self._joining.ordered)
        if self._repetitions is not None:
            self._repetitions.begin_turn()
        self._after, self._rescue_at = "-", 0.0
        yield Beat(self._group.command("EVAL", stream_scripts.RENEW.text), self._joining.lease_s / 3)
        holds = True
        while holds and not self._stopping():
            entry = self._backlog.next(self._clock())
            holds = yield from (self._gather() if entry is None else self._deal(entry))
        yield Beat(None)
        if not holds:
            _log.info("turn_lost group=%s", self._joining.group)

    def _gather(self) -> Answering:
        """Acknowledge what is done, take more, or wait for it. False: the consumer may not act any more."""
        if self._done and (yield from self._acknowledge()) == _LOST:
            return False
        rescued = yield from self._rescue()
        if rescued is None:
            return False
        room = min(_AT_ONCE, WINDOW - len(self._backlog))
        if room <= 0:
            yield Pause(self._idle_for())
            return True
        if not self._backlog:
            self._after = "-"  # nothing is in hand, so whatever is still pending here was lost on its way
        taken = read_taken((yield from self._group.call(stream_scripts.TAKE, self._after, room)), self._clock())
        if taken is None:
            return False
        self._after = taken.last or self._after
        self._add(taken.entries, taken.gone)
        if not taken.entries and not rescued:
            ms = max(1, int(self._idle_for() * 1000))
            words = ("XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", STREAM, taken.delivered or "0")
            yield Command(words, idle=True)
        return True

    def _rescue(self) -> Answering:
        """Now and then, take over what dead consumers had: how many entries that were; None if the consumer may not act."""
        if self._clock() < self._rescue_at or len(self._backlog) >= WINDOW:
            return 0
        lease_ms = int(self._joining.lease_s * 1000)
        reply = yield from self._group.call(
            stream_scripts.RESCUE, _AT_ONCE, self._group.keys.alive, lease_ms, stream_scripts.SILENT_MS
        )
        rescued = read_taken(reply, self._clock())
        if rescued is None:
            return None
        self._rescue_at = self._clock() + self._joining.lease_s / 2
        self._add(rescued.entries, rescued.gone)
        return len(rescued.entries)

    def _add(self, entries: list[Entry], gone: int) -> None:
        for entry in entries:
            if entry.key not in self._backlog:
                self._backlog.add(entry)
        if gone:
            # The HTTP feed still has them.
            _log.warning("pending_entries_trimmed group=%s count=%d", self._joining.group, gone)

    def _idle_for(self) -> float:
        due = self._backlog.next_due()
        left = _BLOCK_S if due is None else due - self._clock()
        return max(0.001, min(_BLOCK_S, self._joining.lease_s / 3, left))

    def _deal(self, entry: Entry) -> Answering:
        """Bring one entry a step on. False: the consumer may not act any more."""
        event = entry.event
        if entry.key in self._done:
            self._backlog.remove(entry.key)
            return True
        if event is None:
            return (yield from self._bury(entry, entry.fault or ""))
        if not self._wanted.takes(event) or self._is_repetition(entry):
            self._finish(entry)
            return True
        if (reason := self._policy.verdict_on_death(entry.record)) is not None:
            return (yield from self._bury(entry, reason))
        entry.record = entry.record.started()
        answer = yield from self._group.call(stream_scripts.STEP, entry.key, entry.record.starts, *self._done)
        if answer == _LOST:
            return False
        self._done.clear()
        if answer == _ANOTHERS:
            self._backlog.remove(entry.key)
            return True
        outcome: Outcome = yield Handle(event)
        return (yield from self._settle(entry, outcome))

    def _settle(self, entry: Entry, outcome: Outcome) -> Answering:
        match outcome:
            case Done():
                self._finish(entry)
                return True
            case Rejected(reason):
                return (yield from self._bury(entry, reason))
            case Postponed(after):
                return (yield from self._note(entry, entry.record.postponed(), after))
            case Failed(reason):
                record = entry.record.failed()
                if self._policy.exhausted(record):
                    return (yield from self._bury(entry, reason))
                wait = self._policy.wait_after(record.failures)
                _log.warning("handler_failed event=%s failures=%d wait_s=%g", _id(entry), record.failures, wait)
                return (yield from self._note(entry, record, wait))

    def _note(self, entry: Entry, record: Record, wait: float) -> Answering:
        entry.record, entry.due = record, self._clock() + wait
        arguments = (entry.key, record.failures, record.ended, int(wait * 1000))
        return self._kept(entry, (yield from self._group.call(stream_scripts.NOTE, *arguments)))

    def _bury(self, entry: Entry, reason: str) -> Answering:
        """Move an entry to the dead letters. Later events of its subject go on."""
        arguments = (entry.key, reason, entry.record.starts, stream_scripts.MOST_DEAD, *entry.fields)
        answer = yield from self._group.call(stream_scripts.BURY, *arguments)
        if answer != 1:
            return self._kept(entry, answer)
        _log.error("dead_letter group=%s event=%s", self._joining.group, _id(entry))
        self._remember(entry)
        self._backlog.remove(entry.key)
        return True

    def _kept(self, entry: Entry, answer: int) -> bool:
        if answer == _ANOTHERS:
            self._backlog.remove(entry.key)
        return answer != _LOST

    def _finish(self, entry: Entry) -> None:
        self._remember(entry)
        self._backlog.remove(entry.key)
        self._done[entry.key] = None

    def _remember(self, entry: Entry) -> None:
        if self._repetitions is not None and entry.event is not None and entry.event not in self._repetitions:
            if missing := self._repetitions.gap_before(entry.event):
                _log.warning("events_missing subject=%s before=%s count=%d", entry.subject, _id(entry), missing)
            self._repetitions.add(entry.event)

    def _is_repetition(self, entry: Entry) -> bool:
        return self._repetitions is not None and entry.event is not None and entry.event in self._repetitions

    def _acknowledge(self) -> Answering:
        answer = yield from self._group.call(stream_scripts.STEP, "", 0, *self._done)
        if answer != _LOST:
            self._done.clear()
        return answer

    def _make_group(self) -> Answering:
        if self._make_from is not None:
            yield from self._group.make(self._make_from)
        self._make_from = None


def _id(entry: Entry) -> str:
    return entry.key if entry.event is None else entry.event.id
