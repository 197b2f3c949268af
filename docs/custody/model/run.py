#!/usr/bin/env python3
# ruff: noqa: T201 - a command line prints
"""Check the rows of rows.toml with SPIN and print what it says.

    python3 run.py              the usual rows (minutes, under 4 GB)
    python3 run.py --quick      the small ones, which the tests run too
    python3 run.py --full       with larger budgets and three workers (an hour or more, under 20 GB)
    python3 run.py W1 K3        these rows, with the shortest counterexample where there is one

Needs `spin` (Debian, Ubuntu: apt-get install spin; macOS: brew install spin) and a C compiler. A row whose search did not
come to its end is reported as not finished, never as holding.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.md"

HOLDS = "holds"
VIOLATED = "violated"
NOT_FINISHED = "not finished"

_AT_ONCE = 2
_MEGABYTES = 1_900
"""What one search may take: two at once stay under 4 GB."""
_MEGABYTES_FULL = 9_500
_SPOKEN = re.compile(r"\s*(w\d|provider|network|redis|database|sweeper|user|relay|tx|consumer)")
_STATES = re.compile(r"^\s*([0-9.e+]+) states, stored", re.MULTILINE)
_CUT_SHORT = ("max search depth too small", "out of memory", "memory limit", "Search not completed")

# compiling the verifier, and running it: a breadth-first search finds the shortest counterexample
_SEARCHES = {
    "depth": (("-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE"), ("-E", "-m2000000")),
    "breadth": (("-DSAFETY", "-DNOCLAIM", "-DBFS"), ("-E",)),
    "liveness": (("-DNFAIR=4", "-DCOLLAPSE"), ("-a", "-f", "-m2000000")),
}


@dataclass(frozen=True)
class Row:
    """One question to the checker, and the answer that is wanted."""

    name: str
    says: str
    flags: tuple[str, ...]
    wanted: str
    size: str
    model: str
    group: str

    @property
    def search(self) -> str:
        """How to look for the answer."""
        if "-DLIVE" in self.flags:
            return "liveness"
        return "breadth" if self.wanted == VIOLATED else "depth"


@dataclass(frozen=True)
class Answer:
    """What the checker said. `story` is the counterexample, one line for each step."""

    said: str
    states: int
    seconds: float
    story: tuple[str, ...] = ()


_Checked = tuple[Row, Answer]


class ModelError(Exception):
    """The model did not pass SPIN or the compiler."""


def rows() -> Iterator[Row]:
    """All rows, in the order of the file."""
    document: dict[str, Any] = tomllib.loads((HERE / "rows.toml").read_text(encoding="utf-8"))
    for group in document["group"]:
        for row in group["row"]:
            flags = Template(row["flags"]).substitute(document["flags"]).split()
            model = group.get("model", "custody.pml")
            size = row.get("size", "usual")
            yield Row(row["name"], row["says"], tuple(flags), row["wanted"], size, model, group["title"])


def check(row: Row, *, timeout_s: float, megabytes: int = _MEGABYTES) -> Answer:
    """Ask one question, in a directory of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="custody-model-") as place:
        room = Path(place)
        shutil.copy(HERE / row.model, room)
        compiling, running = _SEARCHES[row.search]
        _run(["spin", "-a", *row.flags, row.model], room)
        memory = f"-DMEMLIM={megabytes}"
        _run(["cc", "-w", "-O2", *compiling, memory, "-DVECTORSZ=2048", "-o", "pan", "pan.c"], room)
        began = time.monotonic()
        try:
            said = _run(["./pan", *running], room, timeout_s=timeout_s, may_fail=True)
        except subprocess.TimeoutExpired:
            return Answer(NOT_FINISHED, 0, time.monotonic() - began)
        seconds = time.monotonic() - began
        found = _STATES.search(said)
        states = int(float(found[1])) if found else 0
        if re.search(r"errors: [1-9]", said):
            return Answer(VIOLATED, states, seconds, tuple(_story(row, room)))
        complete = "errors: 0" in said and not any(words in said for words in _CUT_SHORT)
        return Answer(HOLDS if complete else NOT_FINISHED, states, seconds)


def _story(row: Row, room: Path) -> Iterator[str]:
    told = _run(["spin", "-t", *row.flags, row.model], room, may_fail=True)
    return (line.strip() for line in told.splitlines() if _SPOKEN.match(line))


def _run(command: Sequence[str], room: Path, *, timeout_s: float | None = None, may_fail: bool = False) -> str:
    done = subprocess.run(  # noqa: S603 - our own model, and names from our own file
        command, cwd=room, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode and not may_fail:
        raise ModelError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _chosen(arguments: argparse.Namespace) -> list[Row]:
    everything = list(rows())
    if arguments.names:
        unknown = set(arguments.names) - {row.name for row in everything}
        if unknown:
            raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
        return [row for row in everything if row.name in arguments.names]
    sizes = {"quick"} if arguments.quick else {"quick", "usual", "large"} if arguments.full else {"quick", "usual"}
    return [row for row in everything if row.size in sizes]


def _lines(pair: _Checked, *, first: bool) -> Iterator[str]:
    """One row of the table; above it, for the first of a group, the table's head."""
    row, answer = pair
    if first:
        yield f"\n### {row.group}\n\n| row | checked | result | states | seconds |\n| --- | --- | --- | ---: | ---: |"
    said = answer.said if answer.said in {row.wanted, NOT_FINISHED} else f"**{answer.said}, wanted {row.wanted}**"
    states = f"{answer.states:,}" if answer.states else "-"
    yield f"| {row.name} | {row.says} | {said} | {states} | {answer.seconds:.1f} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these rows, with their counterexamples")
    parser.add_argument("--quick", action="store_true", help="only the small rows")
    parser.add_argument("--full", action="store_true", help="the large rows as well")
    parser.add_argument("--save", action="store_true", help=f"write the table to {RESULTS.name} as well")
    parser.add_argument("--timeout", type=float, default=3_600, help="seconds for one row")
    return parser.parse_args()


def _checked(chosen: Sequence[Row], pool: ThreadPoolExecutor, arguments: argparse.Namespace) -> Iterator[_Checked]:
    megabytes = _MEGABYTES_FULL if any(row.size == "large" for row in chosen) else _MEGABYTES
    answers = pool.map(lambda row: check(row, timeout_s=arguments.timeout, megabytes=megabytes), chosen)
    yield from zip(chosen, answers, strict=True)


def _verdict(checked: Sequence[_Checked]) -> tuple[bool, str]:
    unfinished = [row.name for row, answer in checked if answer.said == NOT_FINISHED]
    wrong = [row.name for row, answer in checked if answer.said not in {row.wanted, NOT_FINISHED}]
    said = f"{len(checked) - len(wrong) - len(unfinished)} of {len(checked)} rows as wanted"
    said += f"; not finished: {', '.join(unfinished)}" if unfinished else ""
    said += f"; NOT as wanted: {', '.join(wrong)}" if wrong else ""
    return not wrong and not unfinished, said


def main() -> int:
    """Check, print, and tell by the exit status whether every answer was the wanted one."""
    arguments = _arguments()
    missing = [tool for tool in ("spin", "cc") if shutil.which(tool) is None]
    if missing:
        print(f"not found: {', '.join(missing)} (Debian, Ubuntu: apt-get install spin gcc)", file=sys.stderr)
        return 2
    checked: list[_Checked] = []
    lines: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pair in _checked(_chosen(arguments), pool, arguments):
            checked.append(pair)
            for line in _lines(pair, first=len(checked) == 1 or checked[-2][0].group != pair[0].group):
                print(line, flush=True)
                lines.append(line)
            if arguments.names and pair[1].story:
                print("\n".join(("", *(f"    {step}" for step in pair[1].story), "")))
    as_wanted, said = _verdict(checked)
    print(f"\n{said}")
    if arguments.save:
        version = _run(["spin", "-V"], HERE).strip()
        head = f"# What the checker said\n\nWritten by `run.py --save`, with {version}: {said}.\n"
        RESULTS.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return 0 if as_wanted else 1


if __name__ == "__main__":
    sys.exit(main())
