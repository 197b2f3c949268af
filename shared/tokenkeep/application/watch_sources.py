"""What verdicts say about a source and not about its accounts: its endpoint is down, or its client is wrong.

One watch serves a worker process. What it remembers is its own impression, lost with the process without harm; what
follows from it for everybody, a pause or its end, is written into the source's row with its event.
"""

from collections.abc import Callable
from dataclasses import replace

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import Ledgers, RefreshObserver
from tokenkeep.application.refreshing import Answered, LockedSource, SourceConfig
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.client_faults import ClientFaults, after
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.outage_breaker import Gate, OutageBreaker
from tokenkeep.domain.source import Source, SourceState
from tokenkeep.domain.source_changes import is_client_fault, pause, proven, resume, source_event
from tokenkeep.domain.verdict import Granted, Misconfigured, Verdict
from tokenkeep.providers.rules import OAuth2Rules

_MOST_SOURCES = 10_000
_PROBE_AGAIN_S = 2.0
"""How soon one looks again while a probe is under way."""

_Client = tuple[SourceId, int]
"""A source's client as the version of its secret names it: what is known of one says nothing of the next."""


class WatchSources:
    """Watches the verdicts of one worker, keeps its accounts from endpoints that are down, pauses and resumes sources."""

    def __init__(self, *, ledgers: Ledgers, observer: RefreshObserver, clocks: Clocks) -> None:
        self._ledgers = ledgers
        self._observer = observer
        self._clocks = clocks
        self._breakers: dict[SourceId, OutageBreaker] = {}
        self._runs: dict[_Client, ClientFaults] = {}

    def resting(self) -> list[SourceId]:
        """The sources whose accounts are not to be leased now."""
        now = self._clocks.loop_time()
        return [one for one, breaker in self._breakers.items() if breaker.gate(now) is Gate.CLOSED]

    def rest_of(self, source_id: SourceId) -> float | None:
        """For how many seconds none of the source's accounts is to be leased; None: some may."""
        breaker, now = self._breakers.get(source_id), self._clocks.loop_time()
        if breaker is None or breaker.gate(now) is not Gate.CLOSED:
            return None
        return max((breaker.resting_until or now) - now, _PROBE_AGAIN_S)

    def wants_a_probe(self, source_id: SourceId) -> bool:
        """Whether one account of the source is wanted, to see how things are."""
        breaker = self._breakers.get(source_id)
        return breaker is not None and breaker.gate(self._clocks.loop_time()) is Gate.ONE

    def admits(self, source_id: SourceId, *, doubtful: bool) -> bool:
        """Whether a leased account may be sent. One that is in doubt is the last choice for a probe: it might cost the grant."""
        breaker = self._breakers.get(source_id)
        if breaker is None:
            return True
        now = self._clocks.loop_time()
        match breaker.gate(now):
            case Gate.OPEN:
                return True
            case Gate.ONE if not doubtful or breaker.may_risk_a_doubtful(now):
                breaker.send_probe(now)
                return True
            case _:
                return False

    def note_call(self, source: SourceConfig, rules: OAuth2Rules, verdict: Verdict) -> None:
        """Take note of how a call to the source's endpoint ended."""
        source_id = source.id
        breaker = self._breakers.get(source_id)
        if breaker is None:
            if isinstance(verdict, Granted):
                return  # most sources never fail: they need no breaker
            self._make_room()
            breaker = self._breakers[source_id] = OutageBreaker(rules.rotation)
        was = breaker.resting_until
        breaker.record(verdict, self._clocks.loop_time())
        now = breaker.resting_until
        if now is not None and now != was:
            self._observer.endpoint_rests(source_id, source.provider, again=was is not None)
        elif was is not None and now is None:
            self._observer.endpoint_back(source_id)

    async def note_verdict(self, answered: Answered) -> None:
        """Take note of what was settled; pause the source, or end its trial, where that follows.

        Raises what the database raises. Nothing depends on it: the next verdict says the same.
        """
        if answered.own_client:
            await self._note_own_client(answered)
            return
        verdict, attempt, used = answered.verdict, answered.attempt, answered.source.secret_version
        before = self._run_of(answered)
        run = after(before, attempt.account_id, verdict, generation=attempt.presented_generation)
        self._remember(answered, run)
        if isinstance(verdict, Granted) and answered.source.on_trial:
            await self._change(answered, lambda locked: _passed(locked, secret_version=used))
            return
        if answered.source.on_trial:
            await self._change(answered, lambda locked: _tried(locked, attempt.account_id))
        is_odd = before.is_odd(attempt.account_id, attempt.presented_generation)
        if run.blame_the_source or (isinstance(verdict, Misconfigured) and answered.source.on_trial and not is_odd):
            await self._blame(answered, run)

    async def _blame(self, answered: Answered, run: ClientFaults) -> None:
        """Pause the source over the run, unless it is acquitted: a like run has paused it before, and it goes on with the same client.

        Then somebody was granted in the meantime, at this worker or at another one.
        """
        used = answered.source.secret_version
        self._remember(answered, run.ended)
        seen = await self._change(answered, lambda locked: _blamed(locked, run, secret_version=used))
        if seen is None or seen.secret_version != used:
            return
        rest = self._run_of(answered)
        if seen.admits_all and run.repeats_itself:
            self._remember(answered, rest.acquitted)
        elif seen.state is SourceState.PAUSED and is_client_fault(seen.paused_reason):
            self._remember(answered, rest.with_accused(run))

    def _run_of(self, answered: Answered) -> ClientFaults:
        return self._runs.get((answered.source.id, answered.source.secret_version), ClientFaults())

    def _remember(self, answered: Answered, run: ClientFaults) -> None:
        client = (answered.source.id, answered.source.secret_version)
        if run == ClientFaults():
            self._runs.pop(client, None)
            return
        if client not in self._runs:
            self._make_room()
        self._runs[client] = run

    async def _note_own_client(self, answered: Answered) -> None:
        """An account with a client of its own tells nothing of its source's: neither that it is refused nor that it is taken.

        But that a changed source leads somewhere, it shows like any other.
        """
        if not answered.source.on_trial:
            return
        account_id, used = answered.attempt.account_id, answered.source.secret_version
        await self._change(answered, lambda locked: _tried(locked, account_id))
        if isinstance(answered.verdict, Granted):
            await self._change(answered, lambda locked: _leads_somewhere(locked, secret_version=used))

    def _make_room(self) -> None:
        """Bound what is remembered; the longest known go first."""
        while len(self._breakers) >= _MOST_SOURCES:
            source_id = next(iter(self._breakers))
            if self._breakers.pop(source_id).resting_until is not None:
                self._observer.endpoint_back(source_id)
        while len(self._runs) >= _MOST_SOURCES:
            del self._runs[next(iter(self._runs))]

    async def _change(
        self, answered: Answered, decide: Callable[[LockedSource], tuple[Source, EventType | None] | None]
    ) -> Source | None:
        """The source as it stands then; None when it is gone."""
        source_id, cause = answered.source.id, answered.attempt.correlation_id
        async with self._ledgers() as ledger:
            locked = (await ledger.sources.lock([source_id])).get(source_id)
            decided = None if locked is None else decide(locked)
            if locked is None or decided is None:
                return None if locked is None else locked.source
            changed, told = decided
            number = locked.event_sequence + (told is not None)
            await ledger.sources.save(changed, event_sequence=number)
            if told is not None:
                event = source_event(changed, told, sequence=number, now=locked.now, correlation_id=cause)
                await ledger.sources.tell([event])
        if told is not None:
            self._observer.source_changed(changed)
        return changed


def _passed(locked: LockedSource, *, secret_version: int) -> tuple[Source, EventType | None] | None:
    """A refresh succeeded: the client that it used works, and a pause for its faults is over. A later client is unproven."""
    source = locked.source
    if source.secret_version != secret_version:
        return None
    if source.state is SourceState.PAUSED:
        if not is_client_fault(source.paused_reason):
            return None
        return proven(resume(source, now=locked.now)), EventType.SOURCE_RESUMED
    return (proven(source), None) if source.proving else None


def _leads_somewhere(locked: LockedSource, *, secret_version: int) -> tuple[Source, EventType | None] | None:
    """The addresses and options of a changed source are sound. A pause over its client's faults is for others to end."""
    source = locked.source
    if source.secret_version != secret_version or source.state is SourceState.PAUSED or not source.proving:
        return None
    return proven(source), None


def _tried(locked: LockedSource, account_id: AccountId) -> tuple[Source, EventType | None] | None:
    """The probe did not succeed: that account is not admitted again before it is picked again."""
    if locked.source.probe_account_id != account_id:
        return None
    return replace(locked.source, probe_account_id=None), None


def _blamed(locked: LockedSource, run: ClientFaults, *, secret_version: int) -> tuple[Source, EventType | None] | None:
    """The client is wrong, unless it has been changed since. The word of one account alone counts only while it is unproven."""
    source, reason = locked.source, run.reason or FailureReason.INVALID_CLIENT
    if source.state is SourceState.PAUSED or source.secret_version != secret_version:
        return None
    if not source.proving and (run.repeats_itself or not run.blame_the_source):
        return None
    return replace(pause(source, reason.value, now=locked.now), proving=False), EventType.SOURCE_PAUSED
