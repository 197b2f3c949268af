"""What the code writes to the log, read from its source: each event with its levels and its keys."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical"}
_LEVELS["exception"] = "error"


@dataclass(frozen=True)
class LogCall:
    """One place that writes a line. `event` is None if it is no literal."""

    where: str
    event: str | None
    levels: frozenset[str]
    keys: frozenset[str]


def log_calls() -> list[LogCall]:
    """Every place in the rooms that are shipped that writes by structlog."""
    calls: list[LogCall] = []
    for room in ("shared", "services"):
        for path in sorted((ROOT / room).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "structlog" in source:
                calls += calls_in(source, str(path.relative_to(ROOT)))
    return calls


def calls_in(source: str, where: str) -> Iterator[LogCall]:
    """Those of one module."""
    nodes = list(ast.walk(ast.parse(source)))
    # A choice of methods may be given a name: `line = _log.info if well else _log.warning`.
    names = {
        node.targets[0].id: found
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if (found := _levels(node.value, {}))
    }
    for node in nodes:
        if isinstance(node, ast.Call) and (levels := _levels(node.func, names)):
            event = node.args[0] if node.args else None
            literal = event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else None
            keys = frozenset("**" if one.arg is None else one.arg for one in node.keywords)
            yield LogCall(f"{where}:{node.lineno}", literal, levels, keys)


def told() -> dict[str, tuple[set[str], set[str]]]:
    """Each event with all its levels and all its keys."""
    events: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for call in log_calls():
        if call.event is not None:
            levels, keys = events[call.event]
            levels |= call.levels
            keys |= call.keys
    return dict(events)


def _levels(called: ast.expr, names: dict[str, frozenset[str]]) -> frozenset[str]:
    """At which levels this writes, if it is a method of a logger, or a choice of them; else none."""
    match called:
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=method) if owner in (
            "_log",
            "log",
        ):
            return frozenset({_LEVELS[method]}) if method in _LEVELS else frozenset()
        case ast.IfExp(body=body, orelse=orelse):
            return _levels(body, names) | _levels(orelse, names)
        case ast.Name(id=name):
            return names.get(name, frozenset())
        case _:
            return frozenset()
