"""`make storm`: several processes, rotating providers, and faults without end; then a table of what was lost.

Ends with status 1 if anything was lost, spent twice, disabled wrongly or told wrongly. Run it as a program.
"""

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

# A program of its own, outside of pytest, which puts this directory on the path by itself.
sys.path.insert(0, str(Path(__file__).parents[1]))

from storm.campaign import Campaign, Plan, Report
from storm.evidence import figures_as_text

_SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    described = argparse.ArgumentParser(prog="storm", description="Tries to make tokenkeep lose a grant.")
    add = described.add_argument
    add("--minutes", type=float, default=15.0, help="how long it rages; some minutes of calm follow")
    add("--workers", type=int, default=3)
    add("--accounts", type=int, default=300)
    add("--seed", type=int, default=None, help="of the faults; what the processes make of them has no seed")
    return described


def say(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(report: Report) -> None:
    """The table of figures, and what was wrong."""
    say("\n" + figures_as_text(report.figures))
    say("\nfaults\n" + figures_as_text(dict(sorted(report.faults.items()))))
    for kind, account_id, words in report.wrong[:_SHOWN]:
        say(f"WRONG  {kind}: {account_id}: {words}")


def main() -> int:
    """Raise a storm; returns the exit status."""
    given = parser().parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    plan = Plan(seconds=given.minutes * 60, workers=given.workers, accounts=given.accounts, seed=seed)
    say(f"seed {seed}")
    report = asyncio.run(Campaign(plan, say)())
    show(report)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
