"""docs/reference/settings.md, from the fields of `Settings`: what they are called, what they take, who reads them."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tokenkeep import settings as module
from tokenkeep.settings import PREFIX, Settings

_ROOT = Path(__file__).parents[2]
_PROCESSES = ("api", "scheduler", "worker")
# Under another name a setting is read just as well.
_READ_AS = {
    "external_url": ("public_url", "api_host", "api_port"),
    "spool_path": ("spool_dir", "data_dir"),
    "ends_within_s": ("lease_s", "write_ahead_s", "provider_deadline_s", "api_drain_delay_s"),
}
# What is read while settings are loaded, which every process does.
_READ_FIRST = ("secrets_dir",)
_REQUIRED = {"require_database(": "database_url", "require_redis(": "redis_url"}
_HEAD = """# Settings

Every setting is an environment variable, or a file of that name in [`TOKENKEEP_SECRETS_DIR`](#tokenkeep_secrets_dir), read once when a process starts. A wrong one ends the process with one line that names it and says what it must be. A misspelt one is warned of in the log. An empty variable counts as one that is not set. The names end in their unit: `_S` is seconds.

*Read by* says which processes look at a setting: `api`, `scheduler`, `worker`, and `cli`, the command line with `tokenkeep up` and `tokenkeep demo`. All processes of an installation may have the same settings: each passes over those that are not for it. Secrets are better kept from those that do not read them ([who needs which](../how-to/deploy.md#secrets)).

Traces have no settings of ours: OpenTelemetry's own variables are read ([how](../how-to/trace-with-opentelemetry.md)).
"""


def settings_page() -> str:
    """The page."""
    meanings, readers = field_docstrings(), _readers()
    return _HEAD + "".join(
        f"\n## `{PREFIX}{name.upper()}`\n\n{_line('Takes', _takes(field))}{_line('Default', _default(field))}"
        f"{_line('Read by', _known_first(readers.get(name, set())))}\n{_linked(meanings[name])}\n"
        for name, field in Settings.model_fields.items()
    )


def field_docstrings() -> dict[str, str]:
    """What stands under each field. A field without words has none here."""
    [definition] = [
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == Settings.__name__
    ]
    found: dict[str, str] = {}
    for node, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            found[node.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def _line(label: str, text: str) -> str:
    return f"- {label}: {text}\n"


def _takes(field: FieldInfo) -> str:
    """What a value must be, in the words that refuse a wrong one."""
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        value = TypeAdapter(annotation).validate_python("\x00")
    except ValidationError as error:
        refusals = [one["msg"].removeprefix("Value error, ") for one in error.errors(include_url=False)]
        said = [text.removeprefix("must be ") for text in refusals if text.startswith("must be ")]
        return said[0] if said else "a path"
    match value:
        case Path():
            return "a path"
        case str():
            return "a text"
        case _:
            return "a secret text"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "depends; see below"
    match field.default:
        case None | ():
            return "not set"
        case bool():
            return f"`{int(field.default)}`"
        case float():
            return f"`{field.default:g}`"
        case _:
            return f"`{field.default}`"


def _readers() -> dict[str, set[str]]:
    """Who reads which setting, by the code of each room. What every process is made of counts for all of them."""
    found: dict[str, set[str]] = {name: {*_PROCESSES, "cli"} for name in _READ_FIRST}
    for rooms, who in _rooms():
        for path in rooms:
            text = path.read_text(encoding="utf-8")
            names = set(re.findall(r"\bsettings\.(\w+)", text)) | {it for call, it in _REQUIRED.items() if call in text}
            for name in {meant for one in names for meant in _READ_AS.get(one, (one,))} & Settings.model_fields.keys():
                found.setdefault(name, set()).update(who)
    return found


def _rooms() -> Iterator[tuple[list[Path], tuple[str, ...]]]:
    library = _ROOT / "shared" / "tokenkeep"
    yield [library / "bootstrap.py"], _PROCESSES
    yield [path for path in sorted((library / "cli").rglob("*.py")) if "bench" not in path.parts], ("cli",)
    for process in _PROCESSES:
        yield sorted((_ROOT / "services" / f"tokenkeep_{process}").rglob("*.py")), (process,)


def _known_first(readers: set[str]) -> str:
    return ", ".join(f"`{one}`" for one in (*_PROCESSES, "cli") if one in readers)


def _linked(text: str) -> str:
    """Pages that a docstring names by their path are linked."""
    return re.sub(r"docs/(how-to/([a-z-]+)\.md)", r"[\2](../\1)", text)
