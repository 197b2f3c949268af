"""A consumer group in Redis, as one of its consumers speaks to it."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from tokenkeep.client.effects import Command, Effect
from tokenkeep.client.errors import StreamRefused
from tokenkeep.client.stream_scripts import Script

STREAM = "tokenkeep:events"
_NO_GROUP, _NO_STREAM = "NOGROUP", "no such key"
_GROUP_EXISTS, _NO_SCRIPT = "BUSYGROUP", "NOSCRIPT"

Answering = Generator[Effect, Any, Any]
"""A part of a flow, which returns something to the rest."""


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The keys of a group beside the stream. `alive` is the prefix of those by which its consumers show that they live."""

    group: str

    @property
    def lease(self) -> str:
        """Whose turn it is, in order."""
        return f"{STREAM}:lease:{self.group}"

    @property
    def records(self) -> str:
        """What became of the tries of entries that failed."""
        return f"{STREAM}:tries:{self.group}"

    @property
    def alive(self) -> str:
        """What a consumer's name is put behind."""
        return f"{STREAM}:alive:{self.group}:"

    @property
    def dead(self) -> str:
        """The stream of dead letters."""
        return f"{STREAM}:dead:{self.group}"


@dataclass(frozen=True, slots=True)
class Joining:
    """How a consumer takes part in a group.

    Args:
        group: The group's name.
        consumer: A name that no other process has, and none had before.
        ordered: One consumer at a time, each subject's events in order.
        beginning: Where a group begins that is not there yet: with all that the stream has, or with what comes.
        lease_s: A consumer that says nothing for so long counts as dead.
    """

    group: str
    consumer: str
    ordered: bool = True
    beginning: bool = True
    lease_s: float = 10.0


def is_missing(refusal: StreamRefused) -> bool:
    """Whether the stream or the group is not there (any more)."""
    return _NO_GROUP in str(refusal) or _NO_STREAM in str(refusal)


class ConsumerGroup:
    """The commands of one consumer."""

    def __init__(self, joining: Joining) -> None:
        self._joining = joining
        self.keys = GroupKeys(joining.group)

    def make(self, from_id: str) -> Answering:
        """Make the group, to begin behind this entry, if it is not there."""
        try:
            yield Command(("XGROUP", "CREATE", STREAM, self._joining.group, from_id, "MKSTREAM"))
        except StreamRefused as error:
            if _GROUP_EXISTS not in str(error):
                raise

    def call(self, script: Script, *arguments: str | bytes | int) -> Answering:
        """The answer of a script, which is sent whole if Redis does not know it."""
        try:
            return (yield self.command("EVALSHA", script.sha, *arguments))
        except StreamRefused as error:
            if _NO_SCRIPT not in str(error):
                raise
        return (yield self.command("EVAL", script.text, *arguments))

    def command(self, name: str, script: str, *arguments: str | bytes | int) -> Command:
        """A script with the group's keys and what every script is told first."""
        at, joining = self.keys, self._joining
        keys = (STREAM, at.lease, at.records, at.alive + joining.consumer, at.dead)
        mode = "ordered" if joining.ordered else "shared"
        common = (mode, joining.consumer, int(joining.lease_s * 1000), joining.group)
        return Command((name, script, len(keys), *keys, *common, *arguments))
