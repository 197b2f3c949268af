"""Changes of a source: it pauses, is tried with one account at a time, and goes on."""

from dataclasses import replace
from datetime import datetime, timedelta

from tokenkeep.domain.events import Event, EventType
from tokenkeep.domain.ids import AccountId, EventId, IdKind, format_id, new_id
from tokenkeep.domain.source import BY_OPERATOR, MASS_REVOCATION, ROLLBACK, Source, SourceState

_FIRST_REST = timedelta(seconds=30)
_LONGEST_REST = timedelta(minutes=15)
_SOON = (timedelta(seconds=2), timedelta(seconds=5))
"""A change of the client is proven while somebody waits for it, so its first tries follow each other quickly."""
_LONGEST_PROOF = timedelta(minutes=1)
"""A changed client that nobody has refused waits for an endpoint that is away; its accounts must not wait much longer."""
_MOST_DOUBLINGS = 10


def is_client_fault(paused_reason: str | None) -> bool:
    """Whether a pause was brought about by answers that blame the client. Such a pause heals by probing."""
    return paused_reason is not None and paused_reason not in {BY_OPERATOR, MASS_REVOCATION, ROLLBACK}


def rest_after(probes: int, *, proving: bool) -> timedelta:
    """How long to wait after so many picks before the next account is picked."""
    if proving and probes <= len(_SOON):
        return _SOON[max(probes, 1) - 1]
    doublings = probes - len(_SOON) - 1 if proving else probes
    longer: timedelta = _FIRST_REST * 2 ** min(doublings, _MOST_DOUBLINGS)
    return min(longer, _LONGEST_PROOF if proving else _LONGEST_REST)


def pause(source: Source, reason: str, *, now: datetime) -> Source:
    """The source, paused; or, when it is paused already, for this reason from now on.

    A pause over the client's faults is probed. Any other one waits for an operator, so nothing at all is sent.
    """
    was_paused = source.state is SourceState.PAUSED
    rest = rest_after(0, proving=False)
    return replace(
        source,
        state=SourceState.PAUSED,
        paused_reason=reason,
        paused_at=source.paused_at if was_paused else now,
        proving=source.proving or is_client_fault(source.paused_reason),
        probe_account_id=None,
        probe_at=now + rest if is_client_fault(reason) else None,
        probes=0,
        updated_at=now,
    )


def resume(source: Source, *, now: datetime) -> Source:
    """The source, going on.

    After the client's faults, and after a change of the client, one account goes first: at some providers a refresh with a
    wrong client costs the grant.
    """
    proving = source.proving or is_client_fault(source.paused_reason)
    accepted = now if source.paused_reason == ROLLBACK else source.rollback_accepted_at
    return replace(
        source,
        state=SourceState.ACTIVE,
        paused_reason=None,
        paused_at=None,
        proving=proving,
        probe_account_id=None,
        probe_at=now if proving else None,
        probes=0,
        rollback_accepted_at=accepted,
        updated_at=now,
    )


def prove(source: Source, *, now: datetime, new_secret: bool = False) -> tuple[Source, EventType | None]:
    """The source after its client or its options were changed, with what is to be told.

    A new secret ends a pause over the client's faults. Other changes have one account tried at once. A pause that an
    operator ends goes on; the change is proven after it.
    """
    if source.state is SourceState.PAUSED and not is_client_fault(source.paused_reason):
        return replace(source, proving=True, updated_at=now), None
    if source.state is SourceState.PAUSED and new_secret:
        return resume(source, now=now), EventType.SOURCE_RESUMED
    tried = replace(source, proving=True, probe_account_id=None, probe_at=now, probes=0, updated_at=now)
    return tried, None


def proven(source: Source) -> Source:
    """The source after a refresh has shown that its client works."""
    return replace(source, proving=False, probe_account_id=None, probe_at=None, probes=0)


def picked(source: Source, account_id: AccountId | None, *, now: datetime) -> Source:
    """The source with the account that is tried next; None when there is none to try, which is no failure of the client.

    A new source may have its first account at any moment, and that one must not wait for long.
    """
    if account_id is None:
        rest = _SOON[-1] if source.proving else _FIRST_REST
        return replace(source, probe_account_id=None, probe_at=now + rest)
    rest = rest_after(source.probes + 1, proving=source.proving)
    return replace(source, probe_account_id=account_id, probe_at=now + rest, probes=source.probes + 1)


def source_event(
    source: Source, event_type: EventType, *, sequence: int, now: datetime, correlation_id: str | None = None
) -> Event:
    """The event that tells a change of a source, with the source as it stood right after it."""
    data = {
        "source_id": format_id(IdKind.SOURCE, source.id),
        "provider": source.provider,
        "environment": source.environment,
        "state": source.state.value,
    }
    if source.paused_reason is not None:
        data["reason"] = source.paused_reason
    return Event(
        id=EventId(new_id()),
        type=event_type,
        subject=source.id,
        subject_kind=IdKind.SOURCE,
        environment=source.environment,
        sequence=sequence,
        time=now,
        correlation_id=correlation_id,
        data=data,
    )
