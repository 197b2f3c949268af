"""Accept events that services send: each is kept once, or told why it is not."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.inbox import EventKey, InboxObserver, NewInboxEvent
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.incoming_event import LONGEST, IncomingEvent, read_incoming


class ReceptionStatus(StrEnum):
    """How an event was received."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Reception:
    """How one event was received. One that was rejected has a code and a detail, and the field that is at fault."""

    source: str | None
    id: str | None
    status: ReceptionStatus
    code: str | None = None
    detail: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """Where events come from. `environment` None: that of each event's account, for the sender is trusted with all of them."""

    sender: str
    environment: str | None
    correlation_id: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptEvents:
    """Keeps events, all of a batch in one transaction; they are durable when it returns.

    An event is the same one again if it has the same `source` and `id` in the same environment. Workers give each its effect,
    in the order of arrival for each account.
    """

    works: Works
    observer: InboxObserver

    async def __call__(self, documents: Sequence[object], letter: Letter) -> Sequence[Reception]:
        """One reception for each document, in order."""
        read = [_read(document) for document in documents]
        accounts = {one.account_id for one in read if isinstance(one, IncomingEvent)}
        if accounts:
            async with self.works() as work:
                environments = await work.inbox.environments(accounts)
                placed = [_placed(one, environments, letter) for one in read]
                kept = await self._keep(work, placed, letter)
        else:
            placed, kept = [one for one in read if isinstance(one, InvalidInput)], frozenset()
        receptions = []
        for document, one in zip(documents, placed, strict=True):
            reception = _rejection(document, one) if isinstance(one, InvalidInput) else _reception(one, kept)
            receptions.append(reception)
            self.observer.inbox_event_taken(_text(document, "type") or "", reception.status.value)
        return receptions

    async def _keep(self, work: Work, placed: Sequence[NewInboxEvent | InvalidInput], letter: Letter) -> frozenset[int]:
        """The identities of those that are new; of those with the same key, the first's."""
        firsts: dict[EventKey, NewInboxEvent] = {}
        for one in placed:
            if isinstance(one, NewInboxEvent):
                firsts.setdefault(one.key, one)
        added = await work.inbox.add(list(firsts.values()))
        if added and letter.environment is not None:
            caller = Caller(letter.sender, letter.environment, frozenset(), letter.address)
            await work.audit(AuditEntry(caller, "events.send", None, count=len(added)))
        return frozenset(id(firsts[key]) for key in added)


class UnknownAccount(InvalidInput):
    """There is no such account where the event may speak of one."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("subject", "there is no such account")


def _read(document: object) -> IncomingEvent | InvalidInput:
    try:
        return read_incoming(document)
    except InvalidInput as error:
        return error


def _placed(
    one: IncomingEvent | InvalidInput, environments: Mapping[AccountId, str], letter: Letter
) -> NewInboxEvent | InvalidInput:
    if isinstance(one, InvalidInput):
        return one
    environment = environments.get(one.account_id)
    if environment is None or letter.environment not in {None, environment}:
        return UnknownAccount()
    if one.environment not in {None, environment}:
        return InvalidInput("data.environment", "is not the account's")
    sender = Caller(letter.sender, environment, frozenset(), letter.address)
    return NewInboxEvent(one, sender, letter.correlation_id)


def _reception(one: NewInboxEvent, kept: Container[int]) -> Reception:
    status = ReceptionStatus.ACCEPTED if id(one) in kept else ReceptionStatus.DUPLICATE
    return Reception(one.event.source, one.event.id, status)


def _rejection(document: object, error: InvalidInput) -> Reception:
    return Reception(
        _text(document, "source"),
        _text(document, "id"),
        ReceptionStatus.REJECTED,
        error.code,
        error.detail,
        error.field,
    )


def _text(document: object, name: str) -> str | None:
    """An attribute, if it is fit to be told again."""
    value = document.get(name) if isinstance(document, Mapping) else None
    return value if isinstance(value, str) and len(value) <= LONGEST and value.isprintable() else None
