"""A second subscriber of the stream, who writes down what it hears of one source, to be compared with the database's events."""

from collections import defaultdict

from tokenkeep.cli.demonstration.subscriber import HeardEvent, Subscriber


class Witness:
    """Hears a source's events and those of its accounts; `heard` are their ids, by subject, in order."""

    def __init__(self, subscriber: Subscriber, *, source_id: str) -> None:
        self._subscriber = subscriber
        self._source_id = source_id
        self.heard: dict[str, list[str]] = defaultdict(list)

    async def listen(self) -> None:
        """Write down every event until cancelled."""
        await self._subscriber.listen(self._hear)

    def _hear(self, event: HeardEvent) -> None:
        if event.source_id == self._source_id:
            self.heard[event.subject].append(event.id)
