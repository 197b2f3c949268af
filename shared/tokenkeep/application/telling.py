"""Happenings turned into numbered events."""

from datetime import datetime

from tokenkeep.domain.events import Event, account_event
from tokenkeep.domain.ids import EventId, new_id
from tokenkeep.domain.settlement import Settlement


def number_events(
    settlement: Settlement, *, now: datetime, correlation_id: str | None
) -> tuple[Settlement, tuple[Event, ...]]:
    """The settlement with its event counter moved on, and the events that tell its happenings."""
    standing = settlement.standing
    sequence = standing.lease.event_sequence
    events = tuple(
        account_event(
            EventId(new_id()),
            happening,
            standing.account,
            sequence=sequence + number,
            expires_at=happening.ends_at or standing.credential.expires_at,
            time=now,
            correlation_id=correlation_id,
        )
        for number, happening in enumerate(settlement.happenings, start=1)
    )
    return settlement.with_event_sequence(sequence + len(events)), events
