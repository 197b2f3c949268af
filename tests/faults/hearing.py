"""What those who are told have heard, held against what there was to tell."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storm.listener import Heard

Told = Mapping[tuple[str, int], str]
"""The ids of all events that there are, by subject and sequence."""


@dataclass(slots=True)
class Hearing:
    """What one of them has heard, in the order in which it came."""

    name: str
    subjects: dict[str, Heard] = field(default_factory=dict)
    entries: int = 0
    repeated: int = 0

    def note(self, event: Mapping[str, Any]) -> None:
        self.entries += 1
        heard = self.subjects.setdefault(event["subject"], Heard())
        if not heard.note(int(event["sequence"]), event["id"]):
            self.repeated += 1

    def read(self, file: Path, since: int) -> int:
        """Note what was written into a file since this place, an event a line; returns where it ends now."""
        with file.open("rb") as opened:
            opened.seek(since)
            lines = opened.read().rpartition(b"\n")[0]
        for line in lines.splitlines():
            self.note(json.loads(line))
        return since + len(lines) + (1 if lines else 0)

    @property
    def known(self) -> int:
        """How many different events were heard."""
        return sum(len(heard.ids) for heard in self.subjects.values())

    def verdict(self, told: Told) -> dict[str, int]:
        """The figures: all but the first two and `repeated` have to be 0."""
        ids = {(subject, number): one for subject, heard in self.subjects.items() for number, one in heard.ids.items()}
        return {
            "told": len(told),
            "heard": len(ids),
            "missed": len(told.keys() - ids.keys()),
            "made up": len(ids.keys() - told.keys()),
            "out of order": sum(len(heard.out_of_order) for heard in self.subjects.values()),
            "other ids": sum(len(heard.changed) for heard in self.subjects.values())
            + sum(told[mark] != ids[mark] for mark in told.keys() & ids.keys()),
            "repeated": self.repeated,
        }


def as_table(verdicts: Mapping[str, Mapping[str, int]]) -> str:
    """A line for each of them."""
    columns = list(next(iter(verdicts.values())))
    width = max(map(len, verdicts))
    lines = [" " * width + "".join(f"{column:>14}" for column in columns)]
    for name, figures in verdicts.items():
        lines.append(f"{name:<{width}}" + "".join(f"{figures[column]:>14,}" for column in columns))
    return "\n".join(lines)
