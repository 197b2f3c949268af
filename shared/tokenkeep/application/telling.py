"""Happenings turned into numbered events."""

from datetime import datetime

from tokenkeep.domain.connect_link import LinkMaker, calls_for_link
from tokenkeep.domain.events import Event, Happening, account_event
from tokenkeep.domain.ids import EventId, new_id
from tokenkeep.domain.settlement import Settlement, Standing


def number_events(
    settlement: Settlement, *, now: datetime, correlation_id: str | None, links: LinkMaker | None = None
) -> tuple[Settlement, tuple[Event, ...]]:
    """The settlement with its event counter moved on, and the events that tell its happenings.

    Whoever may tell that an account is failing or needs its end user passes `links`: such events carry one.
    """
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
            connect_url=_connect_url(happening, standing, links, now=now),
        )
        for number, happening in enumerate(settlement.happenings, start=1)
    )
    return settlement.with_event_sequence(sequence + len(events)), events


def _connect_url(happening: Happening, standing: Standing, links: LinkMaker | None, *, now: datetime) -> str | None:
    if links is None or not calls_for_link(happening, standing.account):
        return None
    return links.url(standing.account.id, epoch=standing.lease.epoch, now=now)
