"""The page of problems has each that the API can answer with, under its status."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenkeep_api
from markdown_pages import ROOT
from tokenkeep.application import accept_events
from tokenkeep.domain import conflicts, errors, incoming_event
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep_api.problems import problem_of

PAGE = ROOT / "docs" / "reference" / "problems.md"


def on_page() -> set[tuple[int, str]]:
    found = set()
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        status = int(section.split()[0])
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
        assert rows, status
        for code, means, to_do in rows:
            assert len(means) > 10, code
            assert to_do.strip(), code
            found.add((status, code))
    return found


def written_in_the_api() -> Iterator[tuple[int, str]]:
    """Problems that are written where they are answered, by a status and a code."""
    for path in Path(str(tokenkeep_api.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"Problem", "_retryable"}
            ):
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    yield int(str(status.value)), str(code.value)


def of_the_tree() -> Iterator[tuple[int, str]]:
    """Errors of the tree, as they are told; what they would say of a case is left open."""
    for module in (conflicts, errors, incoming_event, accept_events):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, TokenkeepError) and hasattr(kind, "code"):
                bare: Any = kind.__new__(kind)
                for name in ("field", "detail", "account_id", "reason"):
                    setattr(bare, name, "x")
                bare.retry_after, bare.maybe_used = 1.0, False
                if (problem := problem_of(bare)) is not None:
                    yield problem.status_code, problem.code


def test_the_page_has_each_problem_under_its_status_and_no_others() -> None:
    known = {*written_in_the_api(), *of_the_tree(), (429, "too_many_imports")}
    # In the results of events it is a word for one of them, and not the answer.
    assert on_page() == known - {(422, "not_found")}
    assert len(known) > 50
